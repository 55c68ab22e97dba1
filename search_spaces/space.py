"""The search space: a TrialConfig in which any leaf may be a domain and any branch an any_of."""

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
"""Finite spaces with more points are not counted before they run, because that takes more than a few seconds."""

_STEPS_OF_A_POINT = 1000
"""Operations of constraints that take as long as all other work for one point."""

_SPAN_COSTS = 10
"""Cost of an operation on the two ends of a range, relative to one on a number."""

DRAWS = 1000
"""Uniform draws in the quick search for a point that satisfies the constraints, before any slower method."""


@dataclass(frozen=True)
class Space:
    """The tree of a sweep file and the rules between its fields. `resolve` turns decisions into a TrialConfig."""

    root: SpaceNode
    constraints: tuple[Constraint, ...] = ()
    memory_gb: float | None = None
    """Memory of one trial, if known."""

    def resolve(self, chooser: Chooser) -> TrialConfig:
        """Return the configuration that `chooser` selects. It may be infeasible: see `infeasibilities`."""
        return TrialConfig.model_validate(resolve(self.root, chooser))

    def infeasibilities(self, trial: TrialConfig) -> Iterator[Infeasible]:
        """Yield every reason why `trial`, as resolved, cannot run: geometry, broken constraints, then memory."""
        runs = True
        for reason in itertools.chain(infeasibilities(trial), broken(self.constraints, trial)):
            runs = False
            yield reason
        if runs and (too_much := too_large(trial, self.memory_gb)):
            yield too_much

    def draw(self, rng: random.Random) -> dict[str, Scalar]:
        """Return one uniform draw, as decisions by path."""
        recorder = _Recorder(lambda domain: domain.draw(rng))
        resolve(self.root, recorder)
        return recorder.decisions

    def domains(self) -> list[Leaf]:
        """Return every domain, in file order."""
        return list(leaves(self.root))

    def continuous(self) -> list[str]:
        """Return the paths of the domains that are not finite."""
        return [leaf.path for leaf in self.domains() if not is_finite(leaf.domain)]

    def points(self) -> Iterator[dict[str, Scalar]]:
        """Yield all decisions of a space; the last domain varies fastest. Real ranges contribute their ends."""
        return points(self.root)

    def size(self) -> int | None:
        """Return the number of points of a finite space, including infeasible and equivalent ones; otherwise `None`."""
        return None if self.continuous() else size(self.root)

    def is_small(self) -> bool:
        """Return whether the space is finite and small enough to check every point."""
        points = self.size()
        return points is not None and points <= self.affordable(POINTS_COUNTED)

    def affordable(self, points: int) -> int:
        """Return how many points can be checked with the constraints in the time that `points` take without any."""
        return max(1, points * _STEPS_OF_A_POINT // (_STEPS_OF_A_POINT + self._steps))

    @cached_property
    def _steps(self) -> int:
        return sum(rule.steps for rule in self.constraints)

    def sample(self, draws: int | None) -> Iterator[tuple[dict[str, Scalar], TrialConfig]]:
        """Yield `draws` uniform draws, the same each time, or fewer if constraints are slow; every point if `None`.

        Each draw comes with its configuration, which may be infeasible.
        """
        rng = random.Random(0)
        found = self.points() if draws is None else (self.draw(rng) for _ in range(self.affordable(draws)))
        return ((point, self.resolve(Decided(point))) for point in found)

    def distinct(self) -> int | None:
        """Return the number of distinct trials of a finite space; `None` if it is not finite or too large to count."""
        if not self.is_small():
            return None
        configs = self.sample(None)
        return len(
            {form_and_key(config)[1] for _, config in configs if next(self.infeasibilities(config), None) is None}
        )

    def values(self, path: str, default: Scalar) -> list[Any]:
        """Return the values or range ends of the leaf at `path` in all branches; `default` where it is not set."""
        found: list[Any] = []
        for node in nodes_at(self.root, path.split(".")):
            if isinstance(node, Leaf):
                found.extend(node.domain.examples())
            else:
                found.append(node.value if isinstance(node, Fixed) else default)
        return found

    def data_sets(self) -> list[Data]:
        """Return the image data that points of this space use, each once."""
        found: dict[Data, None] = {}
        for node in nodes_at(self.root, ["data"]):
            for point in points(node, examples) if node else [{}]:
                found[Data.model_validate(resolve(node, Decided(point))) if node else Data()] = None
        return list(found)

    def dead_pairs(self) -> list[str]:
        """Return pairs of values that can each run but never together, with the reason: `k = 12 with patch = 2 ...`."""
        return list(dead_pairs(self.root))

    def check(self) -> list[Infeasible]:
        """Return why no point can run, or which listed values never can, by full path; empty if the space is sound."""
        return never_run(self.root)

    def contradictions(self) -> list[Infeasible]:
        """Return the constraints that exclude every point that the geometry allows; empty if that is not certain."""
        if not self.constraints:
            return []
        if any(next(self.infeasibilities(config), None) is None for _, config in self.sample(DRAWS)):
            return []
        lists = all(isinstance(leaf.domain, Choice) for leaf in self.domains())
        found = [] if lists and self.is_small() else _never_met(self)  # for ranges, the ends prove more
        return found or (_met_nowhere(self) if self.is_small() else [])


class _Recorder:
    def __init__(self, decide: Callable[[Domain], Scalar]) -> None:
        self._decide = decide
        self.decisions: dict[str, Scalar] = {}

    def choose(self, path: str, domain: Domain) -> Scalar:
        self.decisions[path] = self._decide(domain)
        return self.decisions[path]


_AT_ONCE = "cannot all hold in any configuration that can run; relax a rule, or give the fields more values."


def _met_nowhere(space: Space) -> list[Infeasible]:
    """Check all points that can run: return the rules that every point breaks, or that no point satisfies all rules."""
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
    way = "and likewise for every configuration that can run; relax the rule, or give its fields other values."
    return [Infeasible(path, f"{examples[path]}, {way}") for path in sorted(always)] or [
        Infeasible("constraints", _AT_ONCE)
    ]


def _never_met(space: Space) -> list[Infeasible]:
    """Do the same from the ends of the domains alone. This proves less, but also works for ranges."""
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
    way = "; relax the rule, or give its fields other values."
    always = sorted(set.intersection(*(set(found) for found in reasons)))
    return [
        Infeasible(f"constraints.{n}", f"{space.constraints[n].text} never holds where {reasons[0][n]}{way}")
        for n in always
    ] or [Infeasible("constraints", _AT_ONCE)]


def _cornered(node: SpaceNode, pick: Callable[[list[Any]], Any]) -> SpaceNode:
    """Return the tree with one value per domain: chosen by `pick` among numbers, or null if null is listed."""
    if isinstance(node, Leaf):
        values = list(node.domain.examples())
        numbers = all(isinstance(value, int | float) for value in values)
        return Leaf(node.path, Choice((None if None in values else pick(values) if numbers else values[0],)))
    if isinstance(node, Group):
        return Group({name: _cornered(child, pick) for name, child in node.fields.items()})
    if isinstance(node, Branches):
        return Branches(node.path, {label: _cornered(option, pick) for label, option in node.options.items()})
    return node
