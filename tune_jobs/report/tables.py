"""The numbers of a sweep: failures by class for the page, and everything as CSV."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from search_spaces.headline import headline
from tune_jobs.failures import CLASSES
from tune_jobs.record.ledger import Ledger
from tune_jobs.report.sizes import Size
from tune_jobs.results.columns import differing
from tune_jobs.results.history import effective
from tune_jobs.results.row import Row
from tune_jobs.results.seeds import Configuration
from tune_jobs.results.words import iso_time
from tune_jobs.system.visible import visible
from tune_jobs.worker.sizing import SIZES

if TYPE_CHECKING:
    from tune_jobs.report.data import ReportData

CHUNK = 100_000
"""Characters written per chunk."""

Line = dict[str, Any]
"""The numbers and texts of a row, by column."""

TRIAL = ("trial", "run_key", "state")
EPOCH = ("trial", "run_key", "attempt", "epoch", "counts", "at")
"""First columns of the two tables."""

_FORMULA = ("=", "+", "-", "@", "\t", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - which some programs treat as the others
"""Characters that start a formula. A carriage return would, too, but `visible` escapes it first."""


def failures(data: "ReportData") -> list[tuple[str, int, int]]:
    """Return for each failure class how many trials and attempts ended with it."""
    trials = data.summary.failures()
    attempts = Counter(attempt.failure for attempt in data.attempts if attempt.failure)
    names = dict.fromkeys((*CLASSES, *attempts))  # a newer version may have more classes
    return [(name, trials.get(name, 0), attempts[name]) for name in names if attempts[name] or trials.get(name)]


def leaderboard_csv(data: "ReportData") -> str:
    """Return one line per trial, the best first, with full precision; a missing parameter is empty.

    Excluded trials come last, with the reason in the column `excluded`.
    """
    return csv_text(trial_lines(data.summary.rows, data.sizes, data.configurations), TRIAL)


def trial_lines(
    rows: Sequence[Row], sizes: Mapping[str, Size], configurations: Mapping[str, Configuration]
) -> list[Line]:
    """Return one line per trial, by column.

    Args:
        rows: The trials.
        sizes: Known sizes, by run key.
        configurations: By run key, if configurations with several seeds are compared.
    """
    columns = differing([row.fields for row in rows])
    metrics = list(dict.fromkeys(name for row in rows for name in row.metrics if name not in SIZES))
    lines = []
    for row in rows:
        size = sizes.get(row.run_key)
        line: Line = {
            "trial": row.number,
            "run_key": row.run_key,
            "state": row.state,
            "failure": row.failure,
            "reason": row.reason,
            "excluded": row.excluded,
            "epoch": row.epoch,
            "epochs": row.config.training.epochs,
            "value": row.value,
            **headline(row.config),
            "gflops": size.gflops if size else None,
            "parameters": size.parameters if size else None,
        }
        if (of := configurations.get(row.run_key)) is not None:
            line["repeat_of"] = row.repeat_of
            line["mean"] = of.complete.mean if of.complete.rows else None
            line["seeds"] = len(of.complete.rows)
        line |= {column.name: row.fields.get(column.key) for column in columns}
        lines.append(line | {name: row.metrics.get(name) for name in metrics})
    return lines


def epochs_csv(data: "ReportData") -> Iterator[str]:
    """Yield one line per recorded epoch; `counts` is 0 if a later attempt repeated it, or the trial is excluded.

    Trials are read one by one, since all together would take a gigabyte, and twice: first for the names of the metrics.
    """
    with closing(Ledger(data.folder.ledger)) as ledger:
        last = ledger.meta.seq
        yield from csv_parts(lambda: epoch_lines(data.summary.rows, ledger, last), EPOCH)


def epoch_lines(rows: Iterable[Row], ledger: Ledger, last: int) -> Iterator[Line]:
    """Yield one line per epoch up to the `seq` `last`, by column; ordered by trial, then by attempt."""
    for row in sorted(rows, key=lambda row: row.number):
        there = (epoch for epoch in ledger.epochs(row.run_key) if epoch.seq <= last)
        epochs = sorted(there, key=lambda epoch: (epoch.attempt, epoch.epoch))
        counting = set() if row.excluded is not None else {epoch.seq for epoch in effective(epochs)}
        for epoch in epochs:
            yield {
                "trial": row.number,
                "run_key": epoch.run_key,
                "attempt": epoch.attempt,
                "epoch": epoch.epoch,
                "counts": int(epoch.seq in counting),
                "at": iso_time(epoch.at),
                **epoch.metrics,
            }


def csv_text(lines: list[Line], columns: Sequence[str]) -> str:
    """Return lines as CSV, `columns` first; no cell is a formula to a spreadsheet."""
    return "".join(csv_parts(lambda: lines, columns))


def csv_parts(lines: Callable[[], Iterable[Line]], columns: Sequence[str]) -> Iterator[str]:
    """Yield lines as CSV, in parts; `lines` is called twice, first for the columns."""
    names = dict.fromkeys(columns)
    for line in lines():
        names.update(dict.fromkeys(line))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_cell, names))
    for line in lines():
        writer.writerow([_cell(line.get(name)) for name in names])
        if text.tell() > CHUNK:
            yield text.getvalue()
            text.seek(0)
            text.truncate()
    yield text.getvalue()


def _cell(value: object) -> object:
    """Return a number unchanged; prefix text that spreadsheets would evaluate with an apostrophe."""
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
