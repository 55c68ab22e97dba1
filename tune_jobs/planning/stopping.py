"""Warns if a sweep's stopping rule costs more than it saves, based on recorded runs of the same model.

`stopping.json` has the results of `convnn simulate` for many rules on the published runs. It was made once by
`python -m benchmarks.warnings`, so that the check takes no time. Models and data sets without recorded runs get no
warning.
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
"""A setting may differ from the simulated one by the factor `FAR`; a sweep may cost less than a budget by `CHEAP`."""
LONGER = 1.12
"""Factor by which the number of epochs may differ from the simulated one. It matters: on the ViT runs on CIFAR-10,
halving is better than no stopping over 75 epochs, and worse over 90."""

_PUBLISHED: Mapping[str, Any] = {
    "data.limit": None,
    "model.width": 1.0,
    "model.depth": 12,
    "model.dim": 192,
    "model.image_size": 224,
    "model.patch_size": 16,
    "training.optimizer": "adamw",
}
"""Settings in which a sweep must match the recorded runs, besides model and data set."""


@dataclass(frozen=True)
class Mean:
    """A mean over repeats, in percentage points, with its 95% interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.2f}"


@dataclass(frozen=True)
class Simulated:
    """The result of a rule within a budget, on the runs of one model and data set."""

    stopping: Mapping[str, Any]
    """Its settings, as in a sweep file; settings in epochs are for trials of `Recorded.epochs`."""

    budget: int
    """The budget in full trials."""

    regret: Mean
    """How far the best trial that was found is below the best run."""

    over_never: Mean
    """The additional regret compared with no stopping, in the same orders."""


@dataclass(frozen=True)
class Recorded:
    """Results of rules on the recorded runs of one model and data set."""

    model: str
    data: str
    runs: int
    epochs: int
    results: tuple[Simulated, ...]

    def near(self, stopping: Mapping[str, Any], epochs: int, cost: float) -> Simulated | None:
        """Return the simulated rule most similar to a sweep's, at the budget nearest to the sweep's cost.

        Settings in epochs are compared as fractions of a trial's epochs.
        """
        budgets = {result.budget for result in self.results}
        budget = min(budgets, key=lambda each: _times(each, min(cost, max(budgets))))
        own = scaled(stopping, self.epochs / epochs)
        there = [(_unlike(own, each.stopping), each) for each in self.results]
        found = min((pair for pair in there if pair[1].budget == budget), key=lambda pair: pair[0])
        return found[1] if found[0] <= math.log(FAR) and cost * CHEAP >= budget else None

    def never(self, budget: int) -> Simulated:
        """Return the result without stopping."""
        return next(each for each in self.results if each.budget == budget and each.stopping == {"kind": "none"})

    def best(self, budget: int) -> Simulated:
        """Return the rule with the least regret."""
        return min((each for each in self.results if each.budget == budget), key=lambda each: each.regret.mean)


def compared(stopping: Stopping) -> dict[str, Any]:
    """Return the settings of a rule to compare; recorded runs were simulated without the prior made from them."""
    return stopping.model_dump(mode="json", exclude={"max_failed_fraction", "enough", "prior"})


def stopping_warnings(spec: SweepSpec) -> Iterator[str]:
    """Warn if the sweep's rule did worse than no stopping on recorded runs of its model, and name the best rule.

    There is no warning if the difference is within its error, or without such runs.
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
        f"(yours: {cost:,.0f}), it ended {found.regret} points below the best run, and no stopping ended "
        f"{recorded.never(found.budget).regret} below: {more} more (95%: {more.low:.2f} to {more.high:.2f}). Better "
        f"there: stopping: {as_yaml(better)} ({best.regret}). This was simulated with {as_yaml(found.stopping)} over "
        f"{recorded.epochs} epochs (yours: {epochs}), on runs with a constant learning rate in random order."
    )


def recorded_for(spec: SweepSpec) -> Recorded | None:
    """Return the results for the sweep's model and data set, if all its trials share them and results exist."""
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
    """Return the most that a sweep costs, in full trials; infinite if it has no limit."""
    asked: int | None = getattr(spec.search, "trials", None)
    limits = [limit for limit in (asked, spec.space.size(), spec.budget.trials) if limit is not None]
    if not limits:
        return math.inf
    trials, epochs = min(limits), epochs_of(spec)
    return trial_epochs_of(ladder_of(spec, trials, epochs), trials, epochs) / epochs


def scaled(stopping: Mapping[str, Any], by: float, *, whole: bool = False) -> dict[str, Any]:
    """Return the rule for trials with `by` times the number of epochs."""
    of_epochs = {name: value * by for name, value in stopping.items() if name.endswith("_epochs")}
    return {**stopping, **({name: max(1, round(value)) for name, value in of_epochs.items()} if whole else of_epochs)}


def as_yaml(stopping: Mapping[str, Any]) -> str:
    """Format a rule: `{kind: asha, grace_epochs: 10, reduction_factor: 3}`."""
    return "{" + ", ".join(f"{name}: {value}" for name, value in stopping.items()) + "}"


def _times(one: float, other: float) -> float:
    return max(one, other) / min(one, other)


def _unlike(own: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """Return the logarithm of the largest ratio of a setting between two rules; infinite for rules of other kinds."""
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
    """Return everything in `stopping.json`."""
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
