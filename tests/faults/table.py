"""The output of the suite: one line per fault, or one JSON object."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.bench import Case

_HEAD = ("fault", "injected", "survived", "lost", "duplicated", "recovery s: median", "max", "took s", "")


@dataclass
class Line:
    """One fault, over all repetitions."""

    name: str
    injected: int = 0
    survived: int = 0
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    recoveries: list[float] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether every injected fault was survived, and nothing was lost or duplicated."""
        whole = not (self.lost or self.duplicated or self.failures)
        return whole and self.injected == self.survived and self.injected > 0


def lines(cases: Iterable[Case]) -> list[Line]:
    """Group the cases by fault, in order."""
    found: dict[str, Line] = {}
    for case in cases:
        line = found.setdefault(case.name, Line(case.name))
        line.injected += case.injected
        line.survived += case.survived
        line.lost += case.found.lost
        line.duplicated += case.found.duplicated
        line.recoveries += case.recoveries
        line.remarks += case.all_remarks()
        line.failures += map(str, case.failures)
        line.seconds += case.seconds
    return list(found.values())


def table(rows: Sequence[Line]) -> str:
    """Return text with one line per fault."""
    cells = [_HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEAD))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in (0, len(_HEAD) - 1) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def _cells(row: Line) -> tuple[str, ...]:
    ordered = sorted(row.recoveries)
    middle = _median(ordered)
    times = (f"{middle:.1f}", f"{ordered[-1]:.1f}") if ordered and middle is not None else ("-", "-")
    verdict = "" if row.passed else "FAILED"
    counts = (row.injected, row.survived, len(row.lost), len(row.duplicated))
    return (row.name, *map(str, counts), *times, f"{row.seconds:.0f}", "  ".join(filter(None, [verdict, *row.remarks])))


def _median(ordered: Sequence[float]) -> float | None:
    if not ordered:
        return None
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def as_json(rows: Sequence[Line]) -> str:
    """Return one JSON object with stable keys."""
    faults: list[dict[str, Any]] = [
        {
            "fault": row.name,
            "passed": row.passed,
            "injected": row.injected,
            "survived": row.survived,
            "lost": row.lost,
            "duplicated": row.duplicated,
            "recovery_s": {
                "median": _median(sorted(row.recoveries)),
                "max": max(row.recoveries, default=None),
                "all": row.recoveries,
            },
            "seconds": row.seconds,
            "remarks": row.remarks,
            "failures": row.failures,
        }
        for row in rows
    ]
    return json.dumps({"passed": all(row.passed for row in rows), "faults": faults}, indent=2)
