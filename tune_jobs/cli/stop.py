"""`convnn stop`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from tune_jobs.cli.shared.options import Storage, Sweep, resuming, storage_of
from tune_jobs.cli.shared.remote import At, given
from tune_jobs.driver.stop import ask_to_pause, stop_here, stop_trial
from tune_jobs.errors import UsageError
from tune_jobs.record.folder import SweepFolder, find_sweep
from tune_jobs.record.rows import BY_HAND

STOP_S = 120.0
_PAUSE_S = 24 * 3600.0


def stop(
    sweep: Sweep,
    trial: Annotated[
        str | None, typer.Argument(metavar="[TRIAL]", help="Stop only this running trial, by its number or run key.")
    ] = None,
    storage: Storage = None,
    *,
    address: At = None,
    pause: Annotated[
        bool,
        typer.Option(
            "--pause", help="Wait for the epoch of every running trial, however long it takes, so that no work is lost."
        ),
    ] = False,
) -> None:
    """Stop a sweep cleanly; `convnn resume` continues it. Example: convnn stop mine --pause.

    No new trial is started. A running trial saves its state after its epoch, if the epoch ends within a minute.

    With a trial, as in convnn stop mine 3, only that trial stops, after its epoch, and the sweep continues. The sampler
    treats it as stopped by the stopping rule; `convnn retry mine --stopped` runs it again.
    """
    if trial is not None and pause:
        raise UsageError(
            "--pause is for a whole sweep; a single trial always stops after its epoch. Leave out --pause."
        )
    if address:
        if trial is not None:
            _trial_on_cluster(sweep, trial, storage, address)
        else:
            _on_cluster(sweep, storage, address, pause)
        return
    folder = find_sweep(sweep, storage_of(storage))
    if trial is not None:
        _stop_trial(folder, trial)
        return
    if pause or not stop_here(folder, STOP_S):
        if not pause:
            print(
                "its process cannot be signalled from here; requesting the stop through the sweep's folder, after the "
                "current epochs ...",
                file=sys.stderr,
                flush=True,
            )
        ask_to_pause(folder, _PAUSE_S)
    print(f"{sweep} has stopped; nothing is lost. Resume with:\n  {resuming('resume', sweep, storage)}")


def _stop_trial(folder: SweepFolder, trial: str) -> None:
    name = folder.name
    row = stop_trial(folder, trial, _PAUSE_S, lambda text: print(text, file=sys.stderr, flush=True))
    if row.state == "stopped" and row.reason == BY_HAND:
        print(
            f"trial {row.number} of {name} has stopped after epoch {row.epoch}; the sweep continues. To run the trial "
            f"again after the sweep has ended:\n  convnn retry {name} --stopped"
        )
    else:
        why = f", {row.reason}" if row.reason else ""
        print(f"trial {row.number} of {name} ended before the stop took effect: {row.state}{why}.")


def _trial_on_cluster(sweep: str, trial: str, storage: Path | None, address: str) -> None:
    from tune_jobs.cluster.catalog import Cluster, in_storage

    cluster = Cluster(address, given(storage))
    found = cluster.locate(sweep)
    print("waiting for the end of its epoch ...", file=sys.stderr, flush=True)
    print(cluster.ask("stop", found.name, trial, *in_storage(found.storage), silence_s=None), end="")


def _on_cluster(sweep: str, storage: Path | None, address: str, pause: bool) -> None:
    from tune_jobs.cluster import submission
    from tune_jobs.cluster.catalog import Cluster, in_storage
    from tune_jobs.errors import ClusterError

    cluster = Cluster(address, given(storage))
    if pause:
        found = cluster.locate(sweep)
        print("waiting for the epochs of its running trials ...", file=sys.stderr, flush=True)
        cluster.ask("stop", found.name, "--pause", *in_storage(found.storage), silence_s=None)
        if found.job is not None:  # until it has ended, the cluster refuses to resume the sweep
            cluster.jobs.wait(found.job.id, STOP_S)
    else:
        print("asking its job to stop ...", file=sys.stderr, flush=True)
        found, ended = submission.stop(cluster, sweep, STOP_S)
        if not ended:
            raise ClusterError(
                f"{sweep} was asked to stop and has not stopped within {STOP_S:g} s; check again with convnn status."
            )
    again = resuming("resume", found.name, storage, cluster.address)
    print(f"{found.name} has stopped; nothing is lost. Resume with:\n  {again}")
