"""`convnn logs`."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from tune_jobs.cli.shared.options import TRIAL_HELP, Storage, Sweep, storage_of
from tune_jobs.cli.shared.remote import At, exit_code, follow_job, given
from tune_jobs.errors import UsageError
from tune_jobs.record.folder import SweepFolder, find_sweep
from tune_jobs.record.lease import live_driver
from tune_jobs.results.history import history

_LOOK_S = 0.5


def logs(
    sweep: Sweep,
    trial: Annotated[str | None, typer.Argument(metavar="[TRIAL]", help=TRIAL_HELP)] = None,
    storage: Storage = None,
    *,
    address: At = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing until it has ended.")] = False,
) -> None:
    """Print the log of a sweep's job, or of one trial. Example: convnn logs -f mine --address http://head:8265."""
    if address:
        _of_cluster(sweep, trial, storage, address, follow)
        return
    folder = find_sweep(sweep, storage_of(storage))
    if trial is None:
        raise UsageError(
            f"a sweep on this machine prints to the terminal that started it, and only its trials have logs; add a "
            f"trial's number: convnn logs {sweep} 1 (to list them: convnn show {sweep})"
        )
    _of_trial(folder, history(folder, trial).row.run_key, follow)


def _of_cluster(sweep: str, trial: str | None, storage: Path | None, address: str, follow: bool) -> None:
    from tune_jobs.cluster.catalog import Cluster, in_storage

    cluster = Cluster(address, given(storage))
    found = cluster.locate(sweep)
    if trial is not None:
        if follow:
            raise UsageError(
                "-f follows the job of a whole sweep, but the log of a trial is copied once; leave out -f or the trial."
            )
        print(cluster.ask("logs", found.name, trial, *in_storage(found.storage)), end="")
    elif found.job is None:
        raise UsageError(
            f"the cluster at {cluster.address} has no job of {sweep}. To list the sweeps there: convnn list --address "
            f"{cluster.address}"
        )
    elif follow:
        raise typer.Exit(exit_code(follow_job(cluster.jobs, found.job.id)))
    else:
        print(cluster.jobs.log(found.job.id), end="")


def _of_trial(folder: SweepFolder, key: str, follow: bool) -> None:
    path = folder.log_of(key)
    if not path.exists():
        raise UsageError(f"the trial has no log: {path} does not exist. A trial has one after it has started.")
    with path.open(encoding="utf-8", errors="replace") as log:
        while True:
            running = follow and live_driver(folder.path) is not None  # before reading, so that no line is missed
            sys.stdout.write(log.read())
            sys.stdout.flush()
            if not running or folder.log_of(key) != path:
                return
            time.sleep(_LOOK_S)
