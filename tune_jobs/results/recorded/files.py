"""Reads a table of runs from two Parquet files: the runs with their parameters, and their epochs."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from search_spaces import TrialConfig
from search_spaces.plurals import plural
from tune_jobs.errors import UsageError
from tune_jobs.results.recorded.table import Array, Counts, RecordedRun, RecordedTable, stacked

_SPLITS = ("val", "test", "train")


def of_files(runs: Path, curves: Path) -> RecordedTable:
    """Read a table.

    Args:
        runs: One row per run: `run_id`, and a column for each parameter. Columns that are paths of a sweep file's space
            (`training.lr`) make up its configuration. Other columns are shown but not matched.
        curves: One row per epoch: `run_id`, `epoch` from 1 without gaps, a column for each metric (`val_accuracy` is
            `val/accuracy`), and optionally `seconds`, which is ignored if a value is missing. Accuracies above 1 are
            percentages. A value that is missing or NaN after a run's first epochs means that the run diverged there.

    Raises:
        UsageError: If a file cannot be read, or a column or an epoch is missing.
    """
    rows, epochs = _read(runs, ("run_id",)), _read(curves, ("run_id", "epoch"))
    names = [str(name) for name in rows.column("run_id").to_pylist()]
    if len(set(names)) < len(names):
        raise UsageError(
            f"{runs}: every run_id must appear once, got {plural(len(names) - len(set(names)), 'repeat')}."
        )
    ids = pc.cast(epochs.column("run_id"), pa.string()).combine_chunks()
    place = pc.index_in(ids, value_set=pa.array(names, pa.string())).fill_null(-1).to_numpy(zero_copy_only=False)
    number = _whole_numbers(curves, epochs.column("epoch"))
    order = np.lexsort((number, place))
    order = order[place[order] >= 0]
    counts = np.bincount(place[order], minlength=len(names))
    begins = np.concatenate([[0], np.cumsum(counts)])
    _require_every_epoch(curves, names, number[order], begins)
    there = [n for n, count in enumerate(counts) if count]
    if not there:
        raise UsageError(f"{curves} has no epoch of a run in {runs}; the run_id must be the same in both files.")
    columns = [name for name in epochs.column_names if name not in ("run_id", "epoch") and _is_number(epochs, name)]
    found = {}
    for column in columns:
        values = epochs.column(column).to_numpy().astype(np.float64)[order]
        found[column] = stacked([values[begins[n] : begins[n + 1]] for n in there])
    seconds = found.pop("seconds", None)
    if seconds is not None and np.isfinite(seconds).sum() < counts.sum():
        seconds = None
    metrics = {_metric(name): _fractions(name, curve) for name, curve in found.items()}
    lengths, diverged = _ends(list(metrics.values()), counts[there])
    made = [_run(row, ends) for row, ends in zip(rows.take(there).to_pylist(), diverged, strict=True)]
    dropped = {"without an epoch": len(names) - len(there)} if len(there) < len(names) else {}
    return RecordedTable(runs.stem, f"{runs} and {curves}", tuple(made), metrics, lengths, seconds, dropped)


def _read(path: Path, needed: Sequence[str]) -> pa.Table:
    try:
        found = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise UsageError(
            f"{path} cannot be read as Parquet; give a Parquet file. pyarrow says: {str(error).splitlines()[0]}"
        ) from error
    missing = [name for name in needed if name not in found.column_names]
    if missing:
        raise UsageError(f"{path} must have a column {missing[0]!r}; it has: {', '.join(found.column_names)}.")
    return found


def _whole_numbers(path: Path, column: pa.ChunkedArray) -> Counts:
    try:
        found = pc.cast(column, pa.int64())
    except pa.ArrowException:
        found = None
    if found is None or found.null_count:
        raise UsageError(f"{path}: column 'epoch' must have whole numbers: 1, 2, 3 and so on, without gaps.")
    return np.asarray(found.to_numpy(), np.int64)


def _require_every_epoch(path: Path, names: Sequence[str], numbers: Counts, begins: Counts) -> None:
    expected = np.concatenate([np.arange(1, end - begin + 1) for begin, end in itertools.pairwise(begins)])
    wrong = np.flatnonzero(numbers != expected)
    if len(wrong):
        run = names[int(np.searchsorted(begins, wrong[0], side="right")) - 1]
        raise UsageError(
            f"{path}: the epochs of a run must be 1, 2, 3 and so on, each once; run {run} has {numbers[wrong[0]]} "
            f"instead of {expected[wrong[0]]}."
        )


def _is_number(table: pa.Table, column: str) -> bool:
    kind = table.schema.field(column).type
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _metric(column: str) -> str:
    split, _, rest = column.partition("_")
    return f"{split}/{rest}" if split in _SPLITS and rest else column


def _fractions(name: str, curve: Array) -> Array:
    return curve / 100 if name.endswith("accuracy") and np.nanmax(curve, initial=0) > 1 else curve


def _ends(curves: Sequence[Array], counts: Counts) -> tuple[Counts, list[bool]]:
    """Return how many epochs of each run have all values, and whether a value is missing after them."""
    whole = np.all([np.isfinite(curve) for curve in curves], axis=0) if curves else np.empty((len(counts), 0), bool)
    lengths = np.cumprod(whole, axis=1).sum(axis=1)
    return lengths.astype(np.int64), [bool(length < count) for length, count in zip(lengths, counts, strict=True)]


def _run(row: dict[str, Any], diverged: bool) -> RecordedRun:
    name = str(row.pop("run_id"))
    params = {key: value for key, value in row.items() if value is not None}
    tree: dict[str, Any] = {}
    for path, value in params.items():
        *above, last = path.split(".")
        if above:
            node = tree
            for part in above:
                node = node.setdefault(part, {})
            node[last] = value
    try:
        return RecordedRun(name, params, TrialConfig.model_validate(tree), diverged=diverged)
    except ValidationError as error:
        first = error.errors()[0]
        why = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
        return RecordedRun(name, params, None, why, diverged)
