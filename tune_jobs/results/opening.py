"""The results of a sweep for programs: its trials as objects and as a table."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tune_jobs.errors import UsageError
from tune_jobs.record.folder import SweepFolder, find_sweep, storage_folder
from tune_jobs.record.ledger import Ledger
from tune_jobs.results.history import curves
from tune_jobs.results.row import Row
from tune_jobs.results.summary import Summary, read_summary

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, repr=False)
class SweepResults:
    """The results of a sweep at the time it was opened."""

    folder: SweepFolder
    summary: Summary

    @property
    def trials(self) -> list[Row]:
        """Every trial, the best first."""
        return self.summary.rows

    @property
    def best(self) -> Row | None:
        """The best complete trial, or without one the best of those that got furthest; `None` before the first result.

        With `search.repeats`, a trial of the configuration with the best mean.
        """
        return self.summary.best

    def to_frame(self) -> "DataFrame":
        """Return a table with one row per trial, the best first, without excluded trials.

        Columns: `trial`, `run_key`, `state`, `epoch`, `epochs`, the value under the metric's name (`val/accuracy`,
        a fraction), then the fields that vary between trials (`lr`), as in every table.
        """
        from pandas import DataFrame

        found = self.summary
        varying = [column for column in found.columns if column.key != "training.epochs"]  # it has its own column
        names = ["trial", "run_key", "state", "epoch", "epochs", found.metric, *(column.name for column in varying)]
        table = [
            (
                *(row.number, row.run_key, row.state, row.epoch, row.config.training.epochs, row.value),
                *(row.fields.get(column.key) for column in varying),
            )
            for row in found.shown
        ]
        return DataFrame(table, columns=names)

    def curves(self) -> "DataFrame":
        """Return the learning curves: one row per trial and epoch, the best trial first, without excluded trials.

        Columns: `trial`, `epoch`, every recorded metric (`train/loss`, `val/accuracy`), then the fields that vary
        between trials.
        """
        from pandas import DataFrame

        with contextlib.closing(Ledger(self.folder.ledger)) as ledger:
            by_key = curves(ledger.epochs())
        table = [
            (row, epoch)
            for row in self.summary.shown
            for epoch in by_key.get(row.run_key, ())
            if epoch.epoch <= row.epoch  # later ones were recorded after the sweep was opened
        ]
        metrics = dict.fromkeys(name for _, epoch in table for name in epoch.metrics)
        return DataFrame(
            {
                "trial": [row.number for row, _ in table],
                "epoch": [epoch.epoch for _, epoch in table],
                **{name: [epoch.metrics.get(name) for _, epoch in table] for name in metrics},
                **{each.name: [row.fields.get(each.key) for row, _ in table] for each in self.summary.columns},
            }
        )

    def __repr__(self) -> str:
        found = self.summary
        noun, planned = (
            ("configurations", found.planned or 0) if found.by_configuration else ("trials", found.planned or 0)
        )
        ended = f"{found.configurations_ended} of {max(planned, len(found.configurations))} {noun} ended"
        value = f"best {found.metric} {found.best_said}" if found.best else "no result yet"
        return f"{type(self).__name__}({found.name!r}, {ended}, {value})"


def open_sweep(sweep: str | Path, storage: str | Path | None = None) -> SweepResults:
    """Open a sweep that has run, or is running.

    Args:
        sweep: Its name, or the path of its folder as a `Path` or with a slash.
        storage: The folder of all sweeps; `default_storage()` if `None`.

    Raises:
        UsageError: If the sweep does not exist.
        LedgerError: If its ledger cannot be read.
    """
    if isinstance(sweep, str) and os.sep not in sweep:
        folder = find_sweep(sweep, storage_folder(storage))
    else:
        folder = SweepFolder(Path(sweep).expanduser().absolute())
        if not folder.ledger.exists():
            raise UsageError(f"{folder.path} is not a sweep folder; to list the sweeps: convnn list")
    return SweepResults(folder, read_summary(folder))
