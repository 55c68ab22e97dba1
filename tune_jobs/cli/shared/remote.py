"""Shared by the commands that contact a cluster."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tune_jobs.cli.shared.options import print_json, storage_of
from tune_jobs.errors import ClusterError, ExitCode, UsageError
from tune_jobs.record.folder import SweepFolder, find_sweep
from tune_jobs.record.lease import live_driver
from tune_jobs.system.redaction import without_password

if TYPE_CHECKING:
    from tune_jobs.cluster.jobs import Job, Jobs
    from tune_jobs.cluster.submission import Submission

At = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="URL",
        envvar="CONVNN_ADDRESS",
        help="The dashboard of a Ray cluster, as in http://head:8265. Without it, or with '': this machine's sweeps.",
    ),
]
_NOISE = ("Running entrypoint for job ", "Runtime env is setting up.")  # Ray's own lines


_RAYS = ("auto", "local", "")
"""Addresses without a port that Ray accepts."""


def given(storage: Path | None) -> str | None:
    """Return a folder of the cluster as text; the path has no meaning on this machine."""
    return str(storage) if storage else None


@contextmanager
def sweep_at(name: str, storage: Path | None, address: str | None) -> Iterator[SweepFolder]:
    """Yield the sweep on this machine, or a temporary copy of its record on the cluster at `address`."""
    with placed_sweep_at(name, storage, address) as (folder, *_):
        yield folder


@contextmanager
def placed_sweep_at(name: str, storage: Path | None, address: str | None) -> Iterator[tuple[SweepFolder, str, bool]]:
    """Yield the same, its place (the folder here, or host and folder on the cluster), and whether it is running."""
    if not address:
        found = find_sweep(name, storage_of(storage))
        yield found, str(found.path), live_driver(found.path) is not None
        return
    from tune_jobs.cluster.catalog import Cluster

    cluster = Cluster(address, given(storage))
    with cluster.record(cluster.locate(name)) as (folder, origin):
        print(f"({origin['path']} on {origin['host']}, at {cluster.address})", file=sys.stderr)
        yield folder, place_of(origin), origin["driver"] is not None


def place_of(origin: Mapping[str, Any]) -> str:
    """Return the origin of a copy on the cluster, as host:folder."""
    return f"{origin['host']}:{origin['path']}"


def follow_job(jobs: "Jobs", job_id: str, *, out: bool = True) -> "Job":
    """Print a job's log until it ends, and return the job. Ctrl-C does not stop the job."""
    from tune_jobs.cluster.follow import follow
    from tune_jobs.cluster.jobs import UnknownJobError

    try:
        for chunk in follow(jobs, job_id):
            lines = (line for line in chunk.splitlines(keepends=True) if not any(noise in line for noise in _NOISE))
            print("".join(lines), end="", flush=True, file=sys.stdout if out else sys.stderr)
        return jobs.job(job_id)
    except KeyboardInterrupt:
        _still_there(jobs, job_id)
        raise typer.Exit(ExitCode.INTERRUPT) from None
    except UnknownJobError:
        raise
    except ClusterError as error:
        raise ClusterError(f"{error} The job keeps running. {_again(jobs, job_id)}") from error


def finish(jobs: "Jobs", found: "Submission", *, detach: bool, as_json: bool) -> None:
    """Print the job's id; unless detached, follow the job and exit with its exit code."""
    if as_json:
        print_json({**found.as_dict(), "address": jobs.address})
    print(f"job {found.job_id} runs the sweep {found.sweep}", file=sys.stderr if as_json else sys.stdout, flush=True)
    if detach:
        at = f"--address {jobs.address}"
        print(f"  convnn status {found.sweep} {at}\n  convnn logs -f {found.sweep} {at}", file=sys.stderr)
        return
    ended = follow_job(jobs, found.job_id, out=not as_json)
    if "CONVNN_ADDRESS" not in os.environ:
        print(f"On this machine, these commands need --address {jobs.address} (or CONVNN_ADDRESS).", file=sys.stderr)
    if ended.exit_code is None and ended.status != "SUCCEEDED":
        print(
            f"job {ended.id} has ended: {ended.status} {first_line(ended.message)}\nIts log: convnn logs {ended.id} "
            f"--address {jobs.address}",
            file=sys.stderr,
        )
    raise typer.Exit(exit_code(ended))


def exit_code(job: "Job") -> int:
    """Return the exit code of the job's command; without one: 0 if the job succeeded, 143 if it was stopped, else 1."""
    if job.exit_code is not None:
        return job.exit_code
    return {"SUCCEEDED": ExitCode.DONE, "STOPPED": ExitCode.TERMINATED}.get(job.status, ExitCode.FAILED)


def first_line(text: str) -> str:
    """Return the first line of a message."""
    return text.partition("\n")[0]


def refuse_cluster(address: str | None, command: str) -> None:
    """Refuse addresses that a command that runs a sweep from here cannot use.

    Raises:
        UsageError: If the address is a dashboard's, or has no port.
    """
    from tune_jobs.cluster.auth import is_cluster

    if address is not None and is_cluster(address):
        shown = without_password(address)
        raise UsageError(
            f"--address of convnn {command} must be a Ray cluster to use from here, as in head:6379, got the dashboard "
            f"{shown}; to run it as a job there: convnn submit ... --address {shown}"
        )
    if address is not None and ":" not in address and address not in _RAYS:
        raise UsageError(
            f"--address must be HOST:PORT of a Ray cluster, as in head:6379, got {address!r}; write {address}:6379."
        )


def _still_there(jobs: "Jobs", job_id: str) -> None:
    print(f"\nDetached; the job keeps running. {_again(jobs, job_id)}", file=sys.stderr)


def _again(jobs: "Jobs", job_id: str) -> str:
    return (
        f"Reattach with:\n  convnn logs -f {job_id} --address {jobs.address}\nStop it with:\n  convnn stop {job_id} "
        f"--address {jobs.address}"
    )
