"""Continues a recorded sweep: resume, retry, extend."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from search_spaces.plurals import plural
from search_spaces.reading.load import sets_trials, with_trials
from tune_jobs.display.live import Progress
from tune_jobs.driver.limits import by_class
from tune_jobs.driver.opening import started
from tune_jobs.driver.run import Outcome, run
from tune_jobs.errors import UsageError
from tune_jobs.failures import CLASSES, Failure
from tune_jobs.record.folder import find_sweep, recorded_spec, storage_folder
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.requests import excluded
from tune_jobs.record.rows import BY_HAND, Attempt, Trial


@dataclass(frozen=True)
class Selection:
    """Which ended trials to run again. Excluded trials never are."""

    failures: frozenset[Failure] | None = None
    """Trials that failed with one of these classes; `None` for every class except `diverged`."""

    stopped: bool = False
    """Whether to include trials that a user stopped."""

    def reopen(self, ledger: Ledger) -> frozenset[str]:
        """Mark these trials as pending, and return their run keys.

        Raises:
            UsageError: If no trial matches.
        """
        left_out = excluded(ledger.requests())
        trials = [trial for trial in ledger.trials() if trial.run_key not in left_out]
        attempts = {(attempt.run_key, attempt.attempt): attempt for attempt in ledger.attempts()}
        last = dict(sorted(attempts))  # by run key: the number of its last attempt

        def wanted(trial: Trial, attempt: int) -> bool:
            return (trial.run_key, attempt) in attempts and self._wants(attempts[trial.run_key, attempt])

        ended = [trial for trial in trials if trial.ended_seq is not None]
        chosen = frozenset(trial.run_key for trial in ended if wanted(trial, last.get(trial.run_key, 0)))
        # trials that an earlier retry of the same kind made pending, and that have not ended since
        due = [trial for trial in trials if trial.ended_seq is None]
        under_way = frozenset(trial.run_key for trial in due if wanted(trial, trial.retried_after))
        if not chosen | under_way:
            raise UsageError(self._none_of(ledger))
        ledger.reopen(chosen)
        return chosen | under_way

    def _wants(self, attempt: Attempt) -> bool:
        if attempt.state == "stopped":
            return self.stopped and attempt.reason == BY_HAND
        wanted = set(CLASSES) - {"diverged"} if self.failures is None else self.failures
        return attempt.failure in wanted

    def _none_of(self, ledger: Ledger) -> str:
        if self.failures is not None and not self.failures:
            return f"no trial was stopped manually, so there is nothing to retry.{_pending(ledger)}"
        there = by_class(ledger)
        kind = f" with {' or '.join(sorted(self.failures))}" if self.failures else ""
        other = f" The failures are: {there}. To retry one class: --class CLASS" if there else _pending(ledger)
        by_hand = ", or was stopped manually" if self.stopped else ""
        return f"no trial has failed{kind}{by_hand}, so there is nothing to retry.{other}"


def _pending(ledger: Ledger) -> str:
    """Return how to resume if trials have not ended."""
    left = sum(trial.ended_seq is None for trial in ledger.trials())
    return f" {plural(left, 'trial')} can continue: convnn resume {ledger.path.parent.name}" if left else ""


ALL_FAILED = Selection()


def resume(
    name: str,
    progress: Progress | bool = True,
    *,
    storage: str | Path | None = None,
    ray_address: str | None = None,
    overrides: Sequence[str] = (),
    accept_code: bool = False,
) -> Outcome:
    """Resume the sweep called `name`, as its folder records it.

    Args:
        name: The sweep.
        progress: See `run`.
        storage: The folder of all sweeps; `default_storage()` if `None`.
        ray_address: See `run`.
        overrides: `path=value` changes of its budget, trials, repeats, resources or tracking.
        accept_code: See `run`.

    Raises:
        UsageError: If the sweep does not exist, or an override would make it a different sweep.
        SweepError: As `run`.
    """
    spec = recorded_spec(find_sweep(name, storage_folder(storage)), overrides)
    exact = sets_trials(overrides)
    return run(spec, progress, storage=storage, ray_address=ray_address, exact_trials=exact, accept_code=accept_code)


def retry(
    name: str,
    only: Selection = ALL_FAILED,
    progress: Progress | bool = True,
    *,
    storage: str | Path | None = None,
    ray_address: str | None = None,
    overrides: Sequence[str] = (),
    accept_code: bool = False,
) -> Outcome:
    """Run selected ended trials of a sweep again, and no others, as new attempts of the same trials; see `resume`.

    Each continues from its last checkpoint if it has one, and its earlier failures no longer count.
    """
    spec = recorded_spec(find_sweep(name, storage_folder(storage)), overrides)
    exact = sets_trials(overrides)
    return run(
        spec,
        progress,
        storage=storage,
        ray_address=ray_address,
        reopen=only.reopen,
        exact_trials=exact,
        accept_code=accept_code,
    )


def extend(
    name: str,
    trials: str,
    progress: Progress | bool = True,
    *,
    storage: str | Path | None = None,
    ray_address: str | None = None,
    accept_code: bool = False,
) -> Outcome:
    """Run more trials of a sweep, in the same study, ledger and MLflow parent run.

    Args:
        name: The sweep.
        trials: `+20` for 20 more, or the new total.
        progress: See `run`.
        storage: The folder of all sweeps; `default_storage()` if `None`.
        ray_address: See `run`.
        accept_code: See `run`.

    Raises:
        UsageError: If `trials` is not such a number, or not more than the present total, or the sweep is a grid.
        SweepError: As `run`.
    """
    folder = find_sweep(name, storage_folder(storage))
    spec = recorded_spec(folder)
    before = max(getattr(spec.search, "trials", 0), started(folder)[0])
    if not re.fullmatch(r"\+?[0-9]+", trials):
        raise UsageError(f"--trials must be a number, as in +20 (more) or {before + 20} (total), got {trials!r}.")
    wanted = int(trials) + (before if trials.startswith("+") else 0)
    if before and wanted <= before:
        raise UsageError(
            f"--trials must be more than the {before} trials of {name}, got {trials}; write +20 for 20 more."
        )
    try:
        extended = with_trials(spec, wanted)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return run(extended, progress, storage=storage, ray_address=ray_address, accept_code=accept_code)
