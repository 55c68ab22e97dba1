"""A space: a TrialConfig in which any leaf may be a domain, and any branch an any_of."""

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from search_spaces.base import Infeasible
from search_spaces.canonical import form_and_key
from search_spaces.constraints import Constraint, broken
from search_spaces.domains import Choice, Chooser, Domain, Scalar, is_finite
from search_spaces.feasibility import infeasibilities
from search_spaces.memory import too_large
from search_spaces.nodes import (
    Branches,
    Decided,
    Fixed,
    Group,
    Leaf,
    SpaceNode,
    examples,
    leaves,
    nodes_at,
    points,
    resolve,
    size,
)
from search_spaces.trial import Data, TrialConfig
from search_spaces.unreachable import dead_pairs, never_run

POINTS_COUNTED = 5_000
"""A finite space of more points is not counted before it runs: that would take longer than a few seconds."""

_STEPS_OF_A_POINT = 1000
"""Operations of constraints that take as long as all else that is done with a point."""

_SPAN_COSTS = 10
"""How much longer an operation takes with the two ends of a range than with a number."""

DRAWS = 1000
"""Uniform draws among which a point that satisfies the constraints is looked for before anything slower."""


@dataclass(frozen=True)
class Space:
    """The tree that was read and the rules between its fields; `resolve` turns decisions into a TrialConfig."""

    root: SpaceNode
    constraints: tuple[Constraint, ...] = ()
    memory_gb: float | None = None
    """What a trial has, where that is known."""

    def resolve(self, chooser: Chooser) -> TrialConfig:
        """The configuration that `chooser` makes. It may be infeasible: see `infeasibilities`."""
        return TrialConfig.model_validate(resolve(self.root, chooser))

    def infeasibilities(self, trial: TrialConfig) -> Iterator[Infeasible]:
        """Everything that keeps `trial`, as resolved, from running: geometry, broken constraints, then memory."""
        runs = True
        for reason in itertools.chain(infeasibilities(trial), broken(self.constraints, trial)):
            runs = False
            yield reason
        if runs and (too_much := too_large(trial, self.memory_gb)):
            yield too_much

    def draw(self, rng: random.Random) -> dict[str, Scalar]:
        """One uniform draw, as decisions by path."""
        recorder = _Recorder(lambda domain: domain.draw(rng))
        resolve(self.root, recorder)
        return recorder.decisions

    def domains(self) -> list[Leaf]:
        """Every domain, in file order."""
        return list(leaves(self.root))

    def continuous(self) -> list[str]:
        """The paths of domains that no list exhausts."""
        return [leaf.path for leaf in self.domains() if not is_finite(leaf.domain)]

    def points(self) -> Iterator[dict[str, Scalar]]:
        """All decisions of a finite space, the last domain turning fastest; of ranges of real numbers the ends."""
        return points(self.root)

    def size(self) -> int | None:
        """The number of points of a finite space before any is found infeasible or equivalent; else `None`."""
        return None if self.continuous() else size(self.root)

    def is_small(self) -> bool:
        """Whether it is finite, and so small that every point of it can be looked at."""
        points = self.size()
        return points is not None and points <= self.affordable(POINTS_COUNTED)

    def affordable(self, points: int) -> int:
        """How many of so many points can be looked at in the same time with the constraints as without any."""
        return max(1, points * _STEPS_OF_A_POINT // (_STEPS_OF_A_POINT + self._steps))

    @cached_property
    def _steps(self) -> int:
        return sum(rule.steps for rule in self.constraints)

    def sample(self, draws: int | None) -> Iterator[tuple[dict[str, Scalar], TrialConfig]]:
        """So many uniform draws, the same each time, or as many as the constraints afford; every point if `None`.

        Each with the configuration that it makes, which may be infeasible.
        """
        rng = random.Random(0)
        found = self.points() if draws is None else (self.draw(rng) for _ in range(self.affordable(draws)))
        return ((point, self.resolve(Decided(point))) for point in found)

    def distinct(self) -> int | None:
        """The number of trials that a finite space has; `None` if it is not finite, or too large to be counted here."""
        if not self.is_small():
            return None
        configs = self.sample(None)
        return len(
            {form_and_key(config)[1] for _, config in configs if next(self.infeasibilities(config), None) is None}
        )

    def values(self, path: str, default: Scalar) -> list[Any]:
        """The values, or ends, that the leaf at `path` has in any branch; `default` for a branch that does not say."""
        found: list[Any] = []
        for node in nodes_at(self.root, path.split(".")):
            if isinstance(node, Leaf):
                found.extend(node.domain.examples())
            else:
                found.append(node.value if isinstance(node, Fixed) else default)
        return found

    def data_sets(self) -> list[Data]:
        """The images that points of this space use, each once."""
        found: dict[Data, None] = {}
        for node in nodes_at(self.root, ["data"]):
            for point in points(node, examples) if node else [{}]:
                found[Data.model_validate(resolve(node, Decided(point))) if node else Data()] = None
        return list(found)

    def dead_pairs(self) -> list[str]:
        """Values of two fields that can each run, and never together: `k = 12, 16 with patch = 2 ...`, and why."""
        return list(dead_pairs(self.root))

    def check(self) -> list[Infeasible]:
        """Why no point can run, or which listed values never can, by full path; nothing if the space is sound."""
        return never_run(self.root)

    def contradictions(self) -> list[Infeasible]:
        """The constraints that leave no point of those that the geometry allows; nothing where that is not certain."""
        if not self.constraints:
            return []
        if any(next(self.infeasibilities(config), None) is None for _, config in self.sample(DRAWS)):
            return []
        lists = all(isinstance(leaf.domain, Choice) for leaf in self.domains())
        found = [] if lists and self.is_small() else _never_met(self)  # of ranges the ends say more
        return found or (_met_nowhere(self) if self.is_small() else [])


class _Recorder:
    def __init__(self, decide: Callable[[Domain], Scalar]) -> None:
        self._decide = decide
        self.decisions: dict[str, Scalar] = {}

    def choose(self, path: str, domain: Domain) -> Scalar:
        self.decisions[path] = self._decide(domain)
        return self.decisions[path]


_AT_ONCE = "cannot all hold at once in a configuration that can run; loosen a rule, or give the fields more values."


def _met_nowhere(space: Space) -> list[Infeasible]:
    """The rules that every point breaks, by trying all that can run; or that there is no point for all rules."""
    runnable, counts, examples = 0, Counter[str](), dict[str, str]()
    for _, config in space.sample(None):
        if next(infeasibilities(config), None) is not None:
            continue
        found = list(broken(space.constraints, config))
        if not found:
            return []
        runnable += 1
        for reason in found:
            counts[reason.path] += 1
            examples.setdefault(reason.path, reason.message)
    if not runnable:
        return []
    always = [path for path, count in counts.items() if count == runnable]
    way = "and so for every configuration that can run; loosen the rule, or give its fields other values."
    return [Infeasible(path, f"{examples[path]}, {way}") for path in sorted(always)] or [
        Infeasible("constraints", _AT_ONCE)
    ]


def _never_met(space: Space) -> list[Infeasible]:
    """The same from the ends of the domains alone, which proves less, but also of ranges."""
    low, high = (Space(_cornered(space.root, pick)) for pick in (min, max))
    reasons: list[dict[int, str]] = []
    most = space.affordable(POINTS_COUNTED // _SPAN_COSTS)
    for below, above in itertools.islice(zip(low.points(), high.points(), strict=True), most + 1):
        ends = low.resolve(Decided(below)), high.resolve(Decided(above))
        found = {number: rule.impossible(*ends) for number, rule in enumerate(space.constraints)}
        reasons.append({number: reason for number, reason in found.items() if reason is not None})
        if not reasons[-1]:
            return []
    if len(reasons) > most:
        return []
    way = "; loosen the rule, or give its fields other values."
    always = sorted(set.intersection(*(set(found) for found in reasons)))
    return [
        Infeasible(f"constraints.{n}", f"{space.constraints[n].text} never holds where {reasons[0][n]}{way}")
        for n in always
    ] or [Infeasible("constraints", _AT_ONCE)]


def _cornered(node: SpaceNode, pick: Callable[[list[Any]], Any]) -> SpaceNode:
    """The same tree with one value of each domain, which `pick` takes from the numbers; null where null is listed."""
    if isinstance(node, Leaf):
        values = list(node.domain.examples())
        numbers = all(isinstance(value, int | float) for value in values)
        return Leaf(node.path, Choice((None if None in values else pick(values) if numbers else values[0],)))
    if isinstance(node, Group):
        return Group({name: _cornered(child, pick) for name, child in node.fields.items()})
    if isinstance(node, Branches):
        return Branches(node.path, {label: _cornered(option, pick) for label, option in node.options.items()})
    return node
