"""Whether a sweep's stopping rule costs more than it saves: what it came to on recorded runs of the same model.

`stopping.json` has what `convnn simulate` found for many rules on the published runs, made once by
`python -m benchmarks.warnings`, so that an answer takes no time. Models and data sets without recorded runs have none.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from search_spaces import SweepSpec
from search_spaces.settings import Stopping
from search_spaces.trial import Training
from tune_jobs.planning.ladder import epochs_of, ladder_of, trial_epochs_of

FILE = "stopping.json"
FAR, CHEAP = 2.0, 4.0
"""A setting is compared up to so many times the simulated one, and a sweep down to so many times less than a budget."""
LONGER = 1.12
"""Trials of up to so many times the simulated epochs are compared, or of so many times fewer. Lengths matter: on the
ViT runs on CIFAR-10 halving is better than no stopping over 75 epochs, and worse over 90."""

_PUBLISHED: Mapping[str, Any] = {
    "data.limit": None,
    "model.width": 1.0,
    "model.depth": 12,
    "model.dim": 192,
    "model.image_size": 224,
    "model.patch_size": 16,
    "training.optimizer": "adamw",
}
"""What tells a sweep's models, images and optimizer from those of the recorded runs."""


@dataclass(frozen=True)
class Mean:
    """Over repeats, in percentage points, with its 95% interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.2f}"


@dataclass(frozen=True)
class Simulated:
    """What a rule came to within a budget, on the runs of one model and data set."""

    stopping: Mapping[str, Any]
    """Its settings, as in a sweep file; those that count epochs are of `Recorded.epochs`."""

    budget: int
    """In full trials' worth of epochs."""

    regret: Mean
    """How far the best trial found is below the best run."""

    over_never: Mean
    """By how much that is more than without stopping, in the same orders."""


@dataclass(frozen=True)
class Recorded:
    """Rules on the recorded runs of one model and data set."""

    model: str
    data: str
    runs: int
    epochs: int
    results: tuple[Simulated, ...]

    def near(self, stopping: Mapping[str, Any], epochs: int, cost: float) -> Simulated | None:
        """The rule most like one of a sweep whose trials have so many epochs, at the budget nearest to its cost.

        Epochs are compared as fractions of a trial's.
        """
        budgets = {result.budget for result in self.results}
        budget = min(budgets, key=lambda each: _times(each, min(cost, max(budgets))))
        own = scaled(stopping, self.epochs / epochs)
        there = [(_unlike(own, each.stopping), each) for each in self.results]
        found = min((pair for pair in there if pair[1].budget == budget), key=lambda pair: pair[0])
        return found[1] if found[0] <= math.log(FAR) and cost * CHEAP >= budget else None

    def never(self, budget: int) -> Simulated:
        """Without stopping."""
        return next(each for each in self.results if each.budget == budget and each.stopping == {"kind": "none"})

    def best(self, budget: int) -> Simulated:
        """The rule with the least regret."""
        return min((each for each in self.results if each.budget == budget), key=lambda each: each.regret.mean)


def compared(stopping: Stopping) -> dict[str, Any]:
    """What of a rule's settings is compared: recorded runs were played without the prior that is made from them."""
    return stopping.model_dump(mode="json", exclude={"max_failed_fraction", "enough", "prior"})


def stopping_warnings(spec: SweepSpec) -> Iterator[str]:
    """That no rule did better than a sweep's at the same cost, on recorded runs of its model, and which did best.

    Nothing where the difference is within its error, or there are no such runs.
    """
    own = compared(spec.stopping)
    recorded, epochs = recorded_for(spec), epochs_of(spec)
    cost = full_trials(spec)
    found = None if recorded is None else recorded.near(own, epochs, cost)
    if recorded is None or found is None or found.over_never.low <= 0:
        return
    more, best = found.over_never, recorded.best(found.budget)
    better = scaled(best.stopping, epochs / recorded.epochs, whole=True)
    yield (
        f"stopping: {as_yaml(own)} costs more than it saves on recorded runs of this model. On {recorded.runs} "
        f"published runs of {recorded.model} on {recorded.data}, at the cost of {found.budget} full trials "
        f"(yours: {cost:,.0f}), it ended "
        f"{found.regret} points below the best run, and no stopping {recorded.never(found.budget).regret}: {more} more "
        f"(95%: {more.low:.2f} to {more.high:.2f}). Better there: stopping: {as_yaml(better)} ({best.regret}). "
        f"Simulated with {as_yaml(found.stopping)} over {recorded.epochs} epochs, for yours over {epochs}; the runs "
        f"have a constant learning rate, and come in random order."
    )


def recorded_for(spec: SweepSpec) -> Recorded | None:
    """The rules on runs of the sweep's model and data set, if all of its trials have the same and there are such."""
    space = spec.space
    lengths = {*space.values("training.epochs", Training().epochs)}
    same = all({*space.values(path, value)} <= {value} for path, value in _PUBLISHED.items())
    if not spec.metric.endswith("accuracy") or not same or len(lengths) > 1:
        return None
    (epochs,) = lengths
    models, data = {*space.values("model.name", "vgg11")}, {each.name for each in space.data_sets()}
    there = [each for each in simulated() if models == {each.model} and data == {each.data}]
    nearest = min(there, key=lambda each: _times(each.epochs, epochs), default=None)
    return None if nearest is None or _times(nearest.epochs, epochs) > LONGER else nearest


def full_trials(spec: SweepSpec) -> float:
    """What a sweep costs, at most, in full trials' worth of epochs; without limit if it has none."""
    asked: int | None = getattr(spec.search, "trials", None)
    limits = [limit for limit in (asked, spec.space.size(), spec.budget.trials) if limit is not None]
    if not limits:
        return math.inf
    trials, epochs = min(limits), epochs_of(spec)
    return trial_epochs_of(ladder_of(spec, trials, epochs), trials, epochs) / epochs


def scaled(stopping: Mapping[str, Any], by: float, *, whole: bool = False) -> dict[str, Any]:
    """A rule for trials of `by` times as many epochs."""
    of_epochs = {name: value * by for name, value in stopping.items() if name.endswith("_epochs")}
    return {**stopping, **({name: max(1, round(value)) for name, value in of_epochs.items()} if whole else of_epochs)}


def as_yaml(stopping: Mapping[str, Any]) -> str:
    """`{kind: asha, grace_epochs: 10, reduction_factor: 3}`."""
    return "{" + ", ".join(f"{name}: {value}" for name, value in stopping.items()) + "}"


def _times(one: float, other: float) -> float:
    return max(one, other) / min(one, other)


def _unlike(own: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """The largest ratio of a setting of two rules, in logarithms; infinite if they are not of a kind."""
    apart = 0.0
    for name in own.keys() | other.keys():
        one, two = own.get(name), other.get(name)
        if one == two:
            continue
        if not (isinstance(one, int | float) and isinstance(two, int | float) and one > 0 and two > 0):
            return math.inf
        apart = max(apart, math.log(_times(one, two)))
    return apart


@cache
def simulated() -> tuple[Recorded, ...]:
    """All that `stopping.json` has."""
    content = json.loads((files(__package__) / FILE).read_text("utf-8"))
    return tuple(
        Recorded(
            table["model"],
            table["data"],
            table["runs"],
            table["epochs"],
            tuple(
                Simulated(row["stopping"], at["budget"], Mean(*at["regret"]), Mean(*at["over_never"]))
                for row in table["rules"]
                for at in row["at"]
            ),
        )
        for table in content["tables"]
    )
