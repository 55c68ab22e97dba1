"""`convnn run`."""

import sys
from typing import Annotated

import typer

from search_spaces.reading.load import sets_trials
from tune_jobs.cli.shared.loading import Small, sweep_of
from tune_jobs.cli.shared.notifying import Notifier, Notify
from tune_jobs.cli.shared.options import AcceptCode, AsJson, File, Set, Storage, Yes, confirmed, resuming, storage_of
from tune_jobs.cli.shared.remote import refuse_cluster
from tune_jobs.cli.shared.running import Address, follow
from tune_jobs.errors import ExitCode, UsageError
from tune_jobs.record.folder import SweepFolder, sweep_folders


def run(
    file: File,
    overrides: Set = None,
    storage: Storage = None,
    *,
    address: Address = None,
    small: Small = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over; the existing sweep is moved aside and kept.")
    ] = False,
    yes: Yes = False,
    accept_code: AcceptCode = False,
    notify: Notify = None,
    as_json: AsJson = False,
) -> None:
    """Run a sweep to its end, or resume it where it stopped. Example: convnn run quickstart.

    Ctrl-C stops it cleanly; a second Ctrl-C stops it immediately. To continue, rerun the same command or use convnn
    resume. A terminal shows a live table of the trials; elsewhere each event is one line. If the file asks for fewer
    trials than have run, no new trial is started. `--smoke` tests a file or preset in about two minutes.
    """
    refuse_cluster(address, "run")
    place = storage_of(storage)
    try:
        spec = sweep_of(file, overrides, small=small)
    except FileNotFoundError:
        if any(found.name == file for found in sweep_folders(place)):
            raise UsageError(
                f"{file} is a sweep, but run needs a sweep file. To resume the sweep: convnn resume {file}"
            ) from None
        raise
    folder = SweepFolder(place / spec.name)
    notifier = Notifier(notify, folder, resuming("resume", spec.name, storage))
    if fresh and folder.ledger.exists():
        if not confirmed(f"{folder.path} holds a sweep {spec.name}; move it aside and start over?", yes=yes):
            raise typer.Exit(ExitCode.FAILED)
        from tune_jobs.driver.removal import start_over

        aside, told = start_over(folder)
        print(f"The earlier sweep is kept in {aside.path}.", *told, file=sys.stderr)
    from tune_jobs.driver.run import run as run_sweep

    exact = sets_trials(overrides or ())
    follow(
        lambda progress: run_sweep(
            spec, progress, storage=place, ray_address=address, exact_trials=exact, accept_code=accept_code
        ),
        notifier,
        as_json=as_json,
    )
