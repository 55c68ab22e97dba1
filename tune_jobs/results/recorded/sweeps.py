"""Finished sweeps of one's own as a table: every trial that ran to its end, or diverged."""

import contextlib
from collections.abc import Sequence

import numpy as np

from search_spaces.base import by_path
from tune_jobs.errors import UsageError
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.requests import excluded
from tune_jobs.record.rows import Epoch, Trial
from tune_jobs.results.history import curves
from tune_jobs.results.recorded.table import RecordedRun, RecordedTable, stacked

_NO_METRIC = ("epoch_s", "images_per_s")


def of_sweeps(folders: Sequence[SweepFolder]) -> RecordedTable:
    """The trials of these sweeps.

    Raises:
        UsageError: If none of them has ended.
        LedgerError: If a record cannot be read.
    """
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
        raise UsageError(f"no trial of {names} has ended; give sweeps that have: `convnn list` shows them.")
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
    )


def _run(sweep: str, trial: Trial) -> RecordedRun:
    params = dict(by_path(trial.config.model_dump(mode="json", by_alias=True)))
    return RecordedRun(f"{sweep}/{trial.number}", params, trial.config, diverged=trial.state == "diverged")
