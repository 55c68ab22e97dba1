"""Results of the measurement, row by row."""

from dataclasses import dataclass, field
from typing import TypeVar

from convnn.precision import Precision

NOT_RUN = "not run"


@dataclass(frozen=True)
class Parity:
    """Errors of a model against itself in float64 on the CPU, relative to the norm."""

    compared: int
    """Number of images times layers."""

    agree: int
    largest: float
    logits: float
    """Median over images."""

    gradients: float | None
    passed: bool

    def __str__(self) -> str:
        gradients = "" if self.gradients is None else f", gradients {self.gradients:.0e}"
        return f"{self.agree} of {self.compared}, at most {self.largest:.0e}; logits {self.logits:.0e}{gradients}"


@dataclass(frozen=True)
class Share:
    """All launches of one kernel: its share of the total time, and the number of launches per step."""

    name: str
    share: float
    count: float


@dataclass
class Row:
    """A model in a precision, with its measurements; missing numbers are empty or `None`."""

    name: str
    precision: Precision
    status: str = NOT_RUN
    parity: Parity | None = None
    step_ms: list[float] = field(default_factory=list)
    epoch_ms: float | None = None
    launches: float | None = None
    busy_ms: float | None = None
    waits: int | None = None
    waits_at: list[str] = field(default_factory=list)
    memory_gb: float | None = None
    evaluation_ms: float | None = None
    kernels: list[Share] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.name}, {self.precision}"


@dataclass
class LayerRow:
    """A layer at a batch size: milliseconds of a forward and a backward pass, in eager mode and replayed."""

    name: str
    batch: int
    precision: Precision
    status: str = NOT_RUN
    eager_ms: float | None = None
    replay_ms: float | None = None

    def __str__(self) -> str:
        return f"{self.name}, batch {self.batch}, {self.precision}"


@dataclass
class Report:
    """All measurements, with place and date."""

    date: str
    machine: str
    command: str
    device: str
    batch: int
    cases: list[Row]
    layers: list[LayerRow]

    def rows(self) -> list[Row | LayerRow]:
        """Return all rows."""
        return [*self.cases, *self.layers]

    def missing(self) -> list[str]:
        """Return the rows that were not run because time ran out."""
        return [str(row) for row in self.rows() if row.status == NOT_RUN]


AnyRow = TypeVar("AnyRow", Row, LayerRow)
