"""Goes on with a sweep that its folder records: resume, retry, extend."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from search_spaces.reading.load import with_trials
from tune_jobs.display.live import Progress
from tune_jobs.driver.limits import by_class
from tune_jobs.driver.run import Outcome, run
from tune_jobs.errors import UsageError
from tune_jobs.failures import CLASSES, Failure
from tune_jobs.record.folder import default_storage, find_sweep, recorded_spec
from tune_jobs.record.ledger import Ledger


@dataclass(frozen=True)
class Selection:
    """Which ended trials to run again: those that failed, with `failures` those whose failure is of these classes."""

    failures: frozenset[Failure] | None = None

    def reopen(self, ledger: Ledger) -> frozenset[str]:
        """Make them due; their run keys.

        Raises:
            UsageError: If there are none.
        """
        found = ledger.failures()
        wanted = self.failures or set(CLASSES) - {"diverged"}
        chosen = frozenset(key for key, failure in found.items() if failure in wanted)
        under_way = _being_retried(ledger, wanted)
        if not chosen | under_way:
            there = by_class(ledger)
            kind = f" by {' or '.join(sorted(self.failures))}" if self.failures else ""
            other = f"; there are {there}: convnn retry SWEEP --class CLASS" if there else ""
            raise UsageError(f"no trial has failed{kind}, so there is none to run again{other}.")
        ledger.reopen(chosen)
        return chosen | under_way


def _being_retried(ledger: Ledger, wanted: Collection[Failure]) -> frozenset[str]:
    """Trials that an earlier retry for one of these failures has made due, and that have not ended since."""
    failures = {(attempt.run_key, attempt.attempt): attempt.failure for attempt in ledger.attempts()}
    return frozenset(
        trial.run_key
        for trial in ledger.trials()
        if trial.ended_seq is None and failures.get((trial.run_key, trial.retried_after)) in wanted
    )


def resume(
    name: str,
    progress: Progress,
    *,
    storage: Path | None = None,
    ray_address: str | None = None,
    overrides: Sequence[str] = (),
) -> Outcome:
    """Go on with the sweep called `name`, as its folder records it.

    Args:
        name: The sweep.
        progress: Is told what happens.
        storage: Where sweeps live; `default_storage()` if `None`.
        ray_address: See `run`.
        overrides: `path=value` changes of its budget, trials, resources or tracking.

    Raises:
        UsageError: If there is no such sweep, or an override makes another sweep of it.
        SweepError: As `run`.
    """
    spec = recorded_spec(find_sweep(name, storage or default_storage()), overrides)
    return run(spec, progress, storage=storage, ray_address=ray_address)


def retry(
    name: str,
    progress: Progress,
    only: Selection,
    *,
    storage: Path | None = None,
    ray_address: str | None = None,
    overrides: Sequence[str] = (),
) -> Outcome:
    """Run ended trials of a sweep again, exactly those, as new attempts of the same trials; see `resume`.

    Each goes on from its last checkpoint if it has one, and its earlier failures are forgiven.
    """
    spec = recorded_spec(find_sweep(name, storage or default_storage()), overrides)
    return run(spec, progress, storage=storage, ray_address=ray_address, reopen=only.reopen)


def extend(
    name: str,
    progress: Progress,
    trials: str,
    *,
    storage: Path | None = None,
    ray_address: str | None = None,
) -> Outcome:
    """Let a sweep go on to more trials, on the same study, ledger and MLflow parent.

    Args:
        name: The sweep.
        progress: Is told what happens.
        trials: `+20` for so many more, or the new number in all.
        storage: Where sweeps live; `default_storage()` if `None`.
        ray_address: See `run`.

    Raises:
        UsageError: If `trials` is no such number, or fewer than there are; or the sweep is a grid.
        SweepError: As `run`.
    """
    spec = recorded_spec(find_sweep(name, storage or default_storage()))
    before = getattr(spec.search, "trials", 0)
    if not re.fullmatch(r"\+?[0-9]+", trials):
        raise UsageError(f"--trials must be a number, as in +20 (more) or {before + 20} (in all), got {trials!r}.")
    wanted = int(trials) + (before if trials.startswith("+") else 0)
    if before and wanted <= before:
        raise UsageError(
            f"--trials must be more than the {before} that {name} has, got {wanted}; write +20 for 20 more."
        )
    try:
        extended = with_trials(spec, wanted)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return run(extended, progress, storage=storage, ray_address=ray_address)
