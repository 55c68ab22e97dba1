"""The results of simulated sweeps, for people and programs."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from typing_extensions import TypedDict  # pydantic does not accept typing.TypedDict before Python 3.12

from tune_jobs.results.recorded.table import Described, RecordedTable
from tune_jobs.simulate.playback import CostUnit
from tune_jobs.simulate.regret import INTERVAL, Mean
from tune_jobs.simulate.spaces import Coverage


@dataclass(frozen=True)
class Result:
    """The result of a rule within a budget, over the repeats."""

    rule: str
    budget: float
    """The budget in full trials."""

    regret: Mean
    """How much better the table's best run is, in percentage points for accuracies, else in the metric's unit."""

    cost: Mean
    """The cost in full trials."""

    started: float
    """Mean number of trials."""

    complete: float

    regrets: tuple[float, ...]
    """The regret of each repeat. In a repeat, all rules have the same order or seed, so differences are paired."""


class Simulated(TypedDict):
    """The results of sweeps simulated on recorded curves, as a dictionary."""

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
    """A simulation and its results."""

    table: RecordedTable
    metric: str
    played: str
    """The recorded metric that is used for `metric`."""

    goal: str
    epochs: int
    best: float
    """The best objective of the runs that can be used, at their last epoch."""

    coverage: Coverage | None
    """How much of a sweep file's space was recorded."""

    notes: list[str]
    workers: int
    cost: CostUnit
    repeats: int
    results: list[Result]

    @property
    def unit(self) -> str:
        """The unit of the regret."""
        return "points" if self.metric.endswith("accuracy") else self.metric

    def as_dict(self) -> dict[str, Any]:
        """Return the simulation for programs, with stable keys."""
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
