"""The Python interface of confirmations: run one, read one."""

import math
from collections.abc import Sequence
from pathlib import Path

from search_spaces import TrialConfig
from tune_jobs.display.live import Progress
from tune_jobs.errors import UsageError
from tune_jobs.evidence.confirm import Wanted, read_confirmed
from tune_jobs.evidence.confirm import confirm as confirm_folder
from tune_jobs.evidence.outcome import Confirmed
from tune_jobs.record.folder import SweepFolder
from tune_jobs.results.opening import SweepResults, open_sweep


def confirm(
    sweep: SweepResults | str | Path,
    progress: Progress | bool = True,
    *,
    top: int | None = None,
    baseline: int | str | TrialConfig | None = None,
    margin: float | None = None,
    again: bool = False,
    retry: bool = False,
    storage: str | Path | None = None,
    ray_address: str | None = None,
    overrides: Sequence[str] = (),
) -> Confirmed:
    """Run the best configurations of a sweep again with new seeds, to find out whether they are really better.

    This does the same as `convnn confirm`. The same call resumes an interrupted confirmation, and immediately returns
    the result of a finished one.

    Args:
        sweep: The outcome of a run, an opened sweep, or what `open_sweep` takes.
        progress: See `run`.
        top: Number of best configurations; 5 if `None`.
        baseline: The baseline: a trial's number or run key, or a configuration. If `None`, the search's best plain
            convolution or plain attention, or without one its second best configuration.
        margin: Differences below this do not matter: a fraction of accuracy, or loss. If `None`, 0.005 or 0.02.
        again: Open the test set once more, which is recorded.
        retry: Run failed runs again.
        storage: See `open_sweep`.
        ray_address: See `run`.
        overrides: `path=value` changes of the sweep's budget, resources or tracking.

    Raises:
        UsageError: If there is nothing to confirm, an argument is out of range, or the test set was opened for another
            confirmation and `again` is not set.
        SweepError: As `run`.
    """
    if top is not None and top < 1:
        raise UsageError(f"top must be 1 or more, got {top}.")
    if margin is not None and not 0 <= margin < math.inf:
        raise UsageError(f"margin must be 0 or more, got {margin}; half a point of accuracy is 0.005.")
    config = baseline if isinstance(baseline, TrialConfig) else None
    wanted = Wanted(
        top=top,
        baseline=None if baseline is None or config else str(baseline),
        baseline_config=config,
        margin=margin,
        again=again,
        retry=retry,
    )
    return confirm_folder(_folder(sweep, storage), wanted, progress, overrides=overrides, ray_address=ray_address)


def open_confirmation(sweep: SweepResults | str | Path, storage: str | Path | None = None) -> Confirmed | None:
    """Read the latest confirmation of a sweep; `None` if there is none.

    Args:
        sweep: The outcome of a run, an opened sweep, or what `open_sweep` takes.
        storage: See `open_sweep`.

    Raises:
        UsageError: If the sweep does not exist.
        LedgerError: If its ledger cannot be read.
    """
    return read_confirmed(_folder(sweep, storage))


def _folder(sweep: SweepResults | str | Path, storage: str | Path | None) -> SweepFolder:
    return (sweep if isinstance(sweep, SweepResults) else open_sweep(sweep, storage)).folder
