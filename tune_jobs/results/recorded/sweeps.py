"""Reads the user's finished sweeps as a table: every trial that is complete or diverged."""

import contextlib
from collections.abc import Sequence

import numpy as np

from search_spaces.base import by_path
from search_spaces.plurals import plural
from tune_jobs.errors import UsageError
from tune_jobs.record.folder import SweepFolder, recorded_spec
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.requests import excluded
from tune_jobs.record.rows import Epoch, Trial
from tune_jobs.results.history import curves
from tune_jobs.results.recorded.table import RecordedRun, RecordedTable, stacked


def of_sweeps(folders: Sequence[SweepFolder]) -> RecordedTable:
    """Return the trials of these sweeps.

    Raises:
        UsageError: If no trial is complete or diverged, or the sweeps are evaluated on different images.
        LedgerError: If a ledger cannot be read.
    """
    folders = list({folder.path: folder for folder in folders}.values())
    if len(folders) > 1:
        _require_one_evaluation(folders)
    found: list[tuple[RecordedRun, list[Epoch]]] = []
    dropped: dict[str, int] = {}
    for folder in folders:
        with contextlib.closing(Ledger(folder.ledger)) as ledger:
            left_out = excluded(ledger.requests())
            by_key = curves(ledger.epochs())
            for trial in ledger.trials():
                epochs = by_key.get(trial.run_key, [])
                state = "excluded" if trial.run_key in left_out else trial.state
                if state not in ("complete", "diverged") or not epochs:
                    dropped[state] = dropped.get(state, 0) + 1
                else:
                    found.append((_run(folder.name, trial), epochs))
    names = ", ".join(folder.name for folder in folders)
    if not found:
        states = ", ".join(f"{count:,} {state}" for state, count in dropped.items()) or "it has none"
        raise UsageError(
            f"no trial of {names} is complete or diverged ({states}), and only those can be simulated; finish the "
            f"sweep (convnn resume SWEEP), or choose another (convnn list)."
        )
    metrics = sorted({name for _, epochs in found for each in epochs for name in each.metrics if "/" in name})
    runs = tuple(run for run, _ in found)
    seconds = [[each.metrics.get("epoch_s", np.nan) for each in epochs] for _, epochs in found]
    return RecordedTable(
        name=names,
        about=f"trials of {names}",
        runs=runs,
        curves={
            name: stacked([[e.metrics.get(name, np.nan) for e in epochs] for _, epochs in found]) for name in metrics
        },
        lengths=np.array([len(epochs) for _, epochs in found], np.int64),
        seconds=stacked(seconds) if np.isfinite(np.concatenate(seconds)).all() else None,
        dropped=dropped,
        notes=[_SELECTED.format(plural(stopped, "trial"))] if (stopped := dropped.get("stopped", 0)) else [],
    )


_SELECTED = (
    "{} that a rule or a user stopped cannot be simulated to the end; the remaining trials are the better ones, so "
    "early stopping looks safer than it is. Record a sweep with `stopping: {{kind: none}}` to be sure"
)


def _require_one_evaluation(folders: Sequence[SweepFolder]) -> None:
    first, *others = ((folder.name, recorded_spec(folder).evaluation) for folder in folders)
    for name, evaluation in others:
        if evaluation != first[1]:
            raise UsageError(
                f"{first[0]} and {name} must be evaluated on the same images to be compared, and their `evaluation` "
                f"differs: {first[1].model_dump()} and {evaluation.model_dump()}; simulate each one separately."
            )


def _run(sweep: str, trial: Trial) -> RecordedRun:
    params = dict(by_path(trial.config.model_dump(mode="json", by_alias=True)))
    return RecordedRun(f"{sweep}/{trial.number}", params, trial.config, diverged=trial.state == "diverged")
