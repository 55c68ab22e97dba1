"""What came of playing sweeps, for people and programs."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from typing_extensions import TypedDict  # typing's own is not enough for pydantic before Python 3.12

from tune_jobs.results.recorded.table import Described, RecordedTable
from tune_jobs.simulate.playback import CostUnit
from tune_jobs.simulate.regret import INTERVAL, Mean
from tune_jobs.simulate.spaces import Coverage


@dataclass(frozen=True)
class Result:
    """What a rule comes to within a budget, over the repeats."""

    rule: str
    budget: float
    """In full trials' worth."""

    regret: Mean
    """How much better the best run of the table is: in percentage points for accuracies, else in the metric's unit."""

    cost: Mean
    """What was spent, in full trials' worth."""

    started: float
    """Trials, on average."""

    complete: float

    regrets: tuple[float, ...]
    """Of each repeat. All rules have the same order or seed in a repeat, so differences between them are paired."""


class Simulated(TypedDict):
    """Sweeps played on recorded curves."""

    table: Described
    space: Coverage | None
    metric: str
    played_metric: str
    goal: Literal["maximize", "minimize"]
    epochs: int
    best: float
    workers: int
    cost_unit: CostUnit
    repeats: int
    regret_unit: str
    interval: str
    notes: list[str]
    results: list[Result]


@dataclass(frozen=True)
class Simulation:
    """What was played, and what came of it."""

    table: RecordedTable
    metric: str
    played: str
    """The recorded metric that stands for it."""

    goal: str
    epochs: int
    best: float
    """Of the runs that can be played, at their last epoch."""

    coverage: Coverage | None
    """Of a sweep file's space."""

    notes: list[str]
    workers: int
    cost: CostUnit
    repeats: int
    results: list[Result]

    @property
    def unit(self) -> str:
        """Of the regret."""
        return "points" if self.metric.endswith("accuracy") else self.metric

    def as_dict(self) -> dict[str, Any]:
        """For programs: stable keys."""
        return {
            "table": asdict(self.table.described()),
            "space": None if self.coverage is None else asdict(self.coverage),
            "metric": self.metric,
            "played_metric": self.played,
            "goal": self.goal,
            "epochs": self.epochs,
            "best": self.best,
            "workers": self.workers,
            "cost_unit": self.cost,
            "repeats": self.repeats,
            "regret_unit": self.unit,
            "interval": INTERVAL,
            "notes": self.notes,
            "results": [asdict(result) for result in self.results],
        }
