"""Excludes single trials from a sweep's results at the user's request, or includes them again."""

from contextlib import closing

from tune_jobs.errors import UsageError
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.lease import lease, live_driver
from tune_jobs.record.ledger import Ledger
from tune_jobs.results.row import Row
from tune_jobs.results.summary import summary

LONGEST_REASON = 500
"""In characters; trackers limit the length of a tag."""


def exclude(folder: SweepFolder, trial: str, why: str) -> Row:
    """Exclude a trial from tables, report and sampler, and return it as it is then. The reason is shown there.

    Its cost still counts, and its files are kept. It is not started again, and the sampler does not propose it again.

    Raises:
        UsageError: If the trial does not exist, the reason is empty or too long, or the sweep is running.
        LedgerError: If the ledger cannot be written.
    """
    reason = " ".join(why.split())
    if not reason:
        raise UsageError('--why must give a reason, got an empty one; write it as in --why "wrong images".')
    if len(reason) > LONGEST_REASON:
        raise UsageError(f"--why must have at most {LONGEST_REASON} characters, got {len(reason)}; shorten it.")
    return _record(folder, trial, reason)


def include(folder: SweepFolder, trial: str) -> Row:
    """Include an excluded trial again, as if it had never been excluded, and return it as it is then.

    Raises:
        UsageError: If the trial does not exist or is not excluded, or the sweep is running.
        LedgerError: If the ledger cannot be written.
    """
    return _record(folder, trial, None)


def _record(folder: SweepFolder, trial: str, why: str | None) -> Row:
    driver = live_driver(folder.path)
    if driver is not None:
        raise UsageError(
            f"{folder.name} is running in process {driver['pid']} on {driver['host']}, and a trial can only be "
            f"excluded or included while the sweep is stopped; stop it first: convnn stop {folder.name}"
        )
    with lease(folder.path), closing(Ledger(folder.ledger, upgrade=True)) as ledger:
        row = summary(folder.name, ledger).trial(trial)
        if why is None and row.excluded is None:
            raise UsageError(f"trial {row.number} of {folder.name} is not excluded, so there is nothing to undo.")
        ledger.interrupt_running()
        if why != row.excluded:
            ledger.add_request(row.run_key, "include" if why is None else "exclude", why)
        return summary(folder.name, ledger).trial(row.run_key)
