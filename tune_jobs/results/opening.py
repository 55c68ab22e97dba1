"""What a sweep has found, for programs: its trials as objects and as a table."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.base import by_path
from tune_jobs.errors import UsageError
from tune_jobs.record.folder import SweepFolder, find_sweep, storage_folder
from tune_jobs.results.summary import Row, Summary, read_summary

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, repr=False)
class SweepResults:
    """A sweep as it stood when it was opened."""

    folder: SweepFolder
    summary: Summary

    @property
    def trials(self) -> list[Row]:
        """Every trial, the best first."""
        return self.summary.rows

    @property
    def best(self) -> Row | None:
        """The best complete trial, else the best of those that got furthest; `None` before the first result."""
        return self.summary.best

    def to_frame(self) -> "DataFrame":
        """A table with one row per trial, the best first; excluded trials are left out.

        Columns: `trial`, `run_key`, `state`, `epoch`, `epochs`, the value under the metric's name (`val/accuracy`,
        a fraction), then every configuration field that differs between trials, by its path (`training.lr`).
        """
        from pandas import DataFrame

        rows = self.summary.shown
        fields = [dict(by_path(row.config.model_dump(mode="json", by_alias=True))) for row in rows]
        varying = _varying(fields)
        table: list[dict[str, Any]] = [
            {
                "trial": row.number,
                "run_key": row.run_key,
                "state": row.state,
                "epoch": row.epoch,
                "epochs": row.config.training.epochs,
                self.summary.metric: row.value,
                **{path: values.get(path) for path in varying},
            }
            for row, values in zip(rows, fields, strict=True)
        ]
        columns = ["trial", "run_key", "state", "epoch", "epochs", self.summary.metric, *varying]
        return DataFrame(table, columns=columns)

    def __repr__(self) -> str:
        found = self.summary
        ended = f"{found.ended} of {max(found.planned or 0, len(found.rows))} trials ended"
        value = f"best {found.metric} {found.best.value:.4f}" if found.best else "no result yet"
        return f"{type(self).__name__}({found.name!r}, {ended}, {value})"


def open_sweep(sweep: str | Path, storage: str | Path | None = None) -> SweepResults:
    """Open a sweep that has run, or is running.

    Args:
        sweep: Its name; or the path of its folder, as a `Path` or with a slash.
        storage: Where sweeps live; `default_storage()` if `None`.

    Raises:
        UsageError: If there is no such sweep.
        LedgerError: If its record cannot be read.
    """
    if isinstance(sweep, str) and os.sep not in sweep:
        folder = find_sweep(sweep, storage_folder(storage))
    else:
        folder = SweepFolder(Path(sweep).expanduser().absolute())
        if not folder.ledger.exists():
            raise UsageError(f"{folder.path} holds no sweep; `convnn list` shows the sweeps.")
    return SweepResults(folder, read_summary(folder))


def _varying(fields: list[dict[str, Any]]) -> list[str]:
    """The paths with more than one value among the configurations that have them."""
    values: dict[str, set[str]] = {}
    for one in fields:
        for path, value in one.items():
            values.setdefault(path, set()).add(repr(value))
    return [path for path, found in values.items() if len(found) > 1]
