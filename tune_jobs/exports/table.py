"""A whole sweep as one table: one row per trial or per recorded epoch, as CSV or Parquet.

The first column is `role`: `search`, or `confirm` for the runs of a confirmation, whose value is another metric. The
other columns are those of the report's tables.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from tune_jobs.exports.files import new_file
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import Role
from tune_jobs.report.epochs import read_epochs
from tune_jobs.report.sizes import sizes_of
from tune_jobs.report.tables import EPOCH, TRIAL, Line, csv_parts, epoch_lines, trial_lines
from tune_jobs.results.history import by_role
from tune_jobs.results.summary import Summary
from tune_jobs.system.visible import visible

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["csv", "parquet"]

ROWS = 50_000
"""Rows of a table in memory at the same time."""


def write_table(folder: SweepFolder, file: Path, kind: Format, *, epochs: bool = False) -> int:
    """Write all trials of a sweep, or all epochs, to a file, and return the number of rows.

    Raises:
        UsageError: If the file exists.
        LedgerError: If the record cannot be read, or the file cannot be written.
    """
    rows = 0
    with closing(Ledger(folder.ledger)) as ledger:
        found = by_role(folder.name, ledger)
        trials = [] if epochs else _trials(found, ledger)
        last = ledger.meta.seq  # all passes over a running sweep read the same epochs

        def lines() -> Iterator[Line]:
            nonlocal rows
            rows = 0
            for line in _epochs(found, ledger, last) if epochs else trials:
                rows += 1
                yield line

        with new_file(file) as part, part.open("wb") as content:
            write = _write_parquet if kind == "parquet" else _write_csv
            write(content, lines, ("role", *(EPOCH if epochs else TRIAL)))
    return rows


def _trials(found: Mapping[Role, Summary], ledger: Ledger) -> list[Line]:
    """Return the lines of all trials; all roles have the same columns."""
    rows = [row for each in found.values() for row in each.rows]
    recorded = read_epochs(ledger, [row.run_key for row in rows], ledger.meta.metric).sizes
    sizes = sizes_of(rows, recorded, 0, lambda _: None)
    several = {
        row.run_key: each
        for role in found.values()
        if role.by_configuration
        for each in role.configurations
        for row in each.rows
    }
    roles = [(role, each.metric) for role, each in found.items() for _ in each.rows]
    return [
        {"role": role, "metric": metric, **line}
        for (role, metric), line in zip(roles, trial_lines(rows, sizes, several), strict=True)
    ]


def _epochs(found: Mapping[Role, Summary], ledger: Ledger, last: int) -> Iterator[Line]:
    for role, each in found.items():
        for line in epoch_lines(each.rows, ledger, last):
            yield {"role": role, **line}


Lines = Callable[[], Iterable[Line]]
"""Returns the same lines at each call."""


def _write_csv(content: BinaryIO, lines: Lines, columns: Sequence[str]) -> None:
    content.writelines(part.encode() for part in csv_parts(lines, columns))


def _write_parquet(content: BinaryIO, lines: Lines, columns: Sequence[str]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    kinds: dict[str, set[type]] = {name: set() for name in columns}
    for line in lines():
        for name, value in line.items():
            kinds.setdefault(name, set()).add(type(value))
    schema = pa.schema([(visible(name), _kind(found)) for name, found in kinds.items()])
    with parquet.ParquetWriter(content, schema) as writer:
        left = iter(lines())
        while some := list(islice(left, ROWS)):
            arrays = [
                pa.array([_value(line.get(name), each.type) for line in some], each.type)
                for name, each in zip(kinds, schema, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _kind(found: set[type]) -> "pa.DataType":
    """Return the type of a column; text if its values have no other common type."""
    import pyarrow as pa

    kinds = found - {type(None)}
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int}:
        return pa.int64()
    if kinds and kinds <= {int, float}:
        return pa.float64()
    return pa.string()


def _value(value: object, kind: "pa.DataType") -> object:
    import pyarrow as pa

    return value if value is None or kind != pa.string() else visible(str(value))
