"""A space: a TrialConfig in which any leaf may be a domain, and any branch an any_of."""

import itertools
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from search_spaces.canonical import run_key
from search_spaces.constraints import Constraint, broken
from search_spaces.domains import Choice, Chooser, Domain, IntRange, Scalar
from search_spaces.feasibility import Obstacle, obstacles, telling
from search_spaces.memory import memory_obstacle
from search_spaces.nodes import Branches, Fixed, Group, Leaf, SpaceNode, leaves, resolve
from search_spaces.trial import Data, TrialConfig

PAIRED_VALUES = 32
"""A domain of more values is not looked at value by value."""

_GOT = re.compile(r",? got |;")
"""What follows in a message differs from point to point."""

POINTS_COUNTED = 20_000
"""A finite space of more points is not counted before it runs: that would take longer than a few seconds."""

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
        """The configuration that `chooser` makes. It may be infeasible: see `obstacles`."""
        return TrialConfig.model_validate(resolve(self.root, chooser))

    def obstacles(self, trial: TrialConfig) -> Iterator[Obstacle]:
        """Everything that keeps `trial`, as resolved, from running: geometry, broken constraints, then memory."""
        found = [*obstacles(trial), *broken(self.constraints, trial)]
        yield from found
        if not found and (too_large := memory_obstacle(trial, self.memory_gb)):
            yield too_large

    def draw(self, rng: random.Random) -> dict[str, Scalar]:
        """One uniform draw, as decisions by path."""
        recorder = _Recorder(lambda domain: domain.draw(rng))
        self.resolve(recorder)
        return recorder.decisions

    def domains(self) -> list[Leaf]:
        """Every domain, in file order."""
        return list(leaves(self.root))

    def continuous(self) -> list[str]:
        """The paths of domains that no list exhausts."""
        return [leaf.path for leaf in self.domains() if not isinstance(leaf.domain, Choice)]

    def points(self) -> Iterator[dict[str, Scalar]]:
        """All decisions of a finite space, the last domain turning fastest; of other domains a few examples."""
        return _points(self.root)

    def size(self) -> int | None:
        """The number of points of a finite space before any is found infeasible or equivalent; else `None`."""
        return None if self.continuous() else _size(self.root)

    def distinct(self) -> int | None:
        """The number of trials that a finite space has; `None` if it is not finite, or too large to be counted here."""
        size = self.size()
        if size is None or size > POINTS_COUNTED:
            return None
        configs = (self.resolve(Decided(point)) for point in self.points())
        return len({run_key(config) for config in configs if next(self.obstacles(config), None) is None})

    def values(self, path: str, default: Scalar) -> list[Any]:
        """The values, or ends, that the leaf at `path` has in any branch; `default` for a branch that does not say."""
        found: list[Any] = []
        for node in _at(self.root, path.split(".")):
            if isinstance(node, Leaf):
                found.extend(node.domain.examples())
            else:
                found.append(node.value if isinstance(node, Fixed) else default)
        return found

    def data_sets(self) -> list[Data]:
        """The images that points of this space use, each once."""
        found: list[Data] = []
        for node in _at(self.root, ["data"]):
            for point in _points(node) if node else [{}]:
                data = Data.model_validate(resolve(node, Decided(point))) if node else Data()
                if data not in found:
                    found.append(data)
        return found

    def dead_pairs(self) -> list[str]:
        """Values of two fields that can each run, and never together: `k = 12, 16 with patch = 2 ...`, and why."""
        return list(_dead_pairs(self.root))

    def check(self) -> list[Obstacle]:
        """Why no point can run, or which listed values never can, by full path; nothing if the space is sound."""
        return _check(self)

    def contradictions(self) -> list[Obstacle]:
        """The constraints that leave no point of those that the geometry allows; nothing where that is not certain."""
        if not self.constraints:
            return []
        rng = random.Random(0)
        draws = (self.resolve(Decided(self.draw(rng))) for _ in range(DRAWS))
        if any(next(self.obstacles(config), None) is None for config in draws):
            return []
        size = self.size()
        return _never_met(self) if size is None or size > POINTS_COUNTED else _met_nowhere(self)


class Decided:
    """A chooser that repeats decisions made before."""

    def __init__(self, decisions: dict[str, Scalar]) -> None:
        self._decisions = decisions

    def choose(self, path: str, _domain: Domain) -> Scalar:
        """The recorded decision for `path`."""
        return self._decisions[path]


class _Recorder:
    def __init__(self, decide: Callable[[Domain], Scalar]) -> None:
        self._decide = decide
        self.decisions: dict[str, Scalar] = {}

    def choose(self, path: str, domain: Domain) -> Scalar:
        self.decisions[path] = self._decide(domain)
        return self.decisions[path]


def _at(node: SpaceNode, names: list[str]) -> Iterator[SpaceNode | None]:
    """What stands at a path, once for each branch; `None` for a branch that has nothing there."""
    if isinstance(node, Branches):
        for option in node.options.values():
            yield from _at(option, names)
    elif not names:
        yield node
    elif isinstance(node, Group) and names[0] in node.fields:
        yield from _at(node.fields[names[0]], names[1:])
    else:
        yield None


def _points(node: SpaceNode) -> Iterator[dict[str, Scalar]]:
    if isinstance(node, Fixed):
        yield {}
    elif isinstance(node, Leaf):
        for value in node.domain.examples():
            yield {node.path: value}
    elif isinstance(node, Branches):
        for label, option in node.options.items():
            for below in _points(option):
                yield {node.path: label, **below}
    else:
        yield from _crossed(list(node.fields.values()))


def _crossed(nodes: list[SpaceNode]) -> Iterator[dict[str, Scalar]]:
    """Every point of the first with every point of the rest, one at a time: there may be billions."""
    if not nodes:
        yield {}
        return
    for head in _points(nodes[0]):
        for tail in _crossed(nodes[1:]):
            yield {**head, **tail}


def _size(node: SpaceNode) -> int:
    if isinstance(node, Fixed):
        return 1
    if isinstance(node, Leaf):
        return len(node.domain.examples())
    if isinstance(node, Branches):
        return sum(_size(option) for option in node.options.values())
    return math.prod(_size(child) for child in node.fields.values())


_AT_ONCE = "no configuration that can run satisfies all of them; loosen a rule, or give the fields more values."


def _met_nowhere(space: Space) -> list[Obstacle]:
    """The rules that every point breaks, by trying all that can run; or that there is no point for all rules."""
    runnable, counts, examples = 0, Counter[str](), dict[str, str]()
    for point in space.points():
        config = space.resolve(Decided(point))
        if next(obstacles(config), None) is not None:
            continue
        found = list(broken(space.constraints, config))
        if not found:
            return []
        runnable += 1
        for obstacle in found:
            counts[obstacle.path] += 1
            examples.setdefault(obstacle.path, obstacle.message)
    if not runnable:
        return []
    always = [path for path, count in counts.items() if count == runnable]
    way = "and so for every configuration that can run; loosen the rule, or give its fields other values."
    return [Obstacle(path, f"{examples[path]}, {way}") for path in sorted(always)] or [
        Obstacle("constraints", _AT_ONCE)
    ]


def _never_met(space: Space) -> list[Obstacle]:
    """The same from the ends of the domains alone, which proves less, but also of ranges."""
    low, high = (Space(_cornered(space.root, pick)) for pick in (min, max))
    reasons: list[dict[int, str]] = []
    for below, above in itertools.islice(zip(low.points(), high.points(), strict=True), POINTS_COUNTED + 1):
        ends = low.resolve(Decided(below)), high.resolve(Decided(above))
        found = {number: rule.impossible(*ends) for number, rule in enumerate(space.constraints)}
        reasons.append({number: reason for number, reason in found.items() if reason is not None})
        if not reasons[-1]:
            return []
    if len(reasons) > POINTS_COUNTED:
        return []
    way = "; loosen the rule, or give its fields other values."
    always = sorted(set.intersection(*(set(found) for found in reasons)))
    return [
        Obstacle(f"constraints.{n}", f"{space.constraints[n].text} never holds where {reasons[0][n]}{way}")
        for n in always
    ] or [Obstacle("constraints", _AT_ONCE)]


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


_LABEL = re.compile(r"\[[^]]*\]")


def _check(space: Space) -> list[Obstacle]:
    runs, reasons = _trial_runs(space.root, {})
    if not runs:
        return reasons[:1]
    found: list[Obstacle] = []
    dead: tuple[str, ...] = ()
    for leaf in space.domains():
        if not isinstance(leaf.domain, Choice) or leaf.path.startswith(dead):
            continue
        branches = _is_branches(space.root, leaf.path)
        for value in leaf.domain.values:
            runs, reasons = _trial_runs(space.root, {leaf.path: value})
            if runs or not reasons:
                continue
            first = next((reason for reason in reasons if reason.path == leaf.path), reasons[0])
            if branches:
                here = f"{leaf.path}[{value}]"
                dead = (*dead, here)
                found.append(Obstacle(here, f"can never run: {first.path.removeprefix(here + '.')} {first.message}"))
            elif first.path == leaf.path:
                found.append(Obstacle(leaf.path, f"lists {value}, which can never run: it {first.message}"))
            else:
                found.append(Obstacle(leaf.path, f"lists {value}, which can never run: {first.path} {first.message}"))
    return found


def _dead_pairs(root: SpaceNode) -> Iterator[str]:
    listed = [
        Leaf(leaf.path, Choice(values))
        for leaf in leaves(root)
        if leaf.path.startswith("space.model") and (values := _few(leaf.domain))
    ]
    alone = {
        (leaf.path, value): _trial_runs(root, {leaf.path: value})[0]
        for leaf in listed
        for value in leaf.domain.examples()
    }
    for one, other in itertools.combinations(listed, 2):
        for second in other.domain.examples():
            dead: dict[Scalar, str] = {}
            for first in one.domain.examples():
                if alone[one.path, first] and alone[other.path, second]:
                    runs, reasons = _trial_runs(root, {one.path: first, other.path: second})
                    if not runs and reasons:
                        dead[first] = f"{reasons[0].path} {_GOT.split(reasons[0].message)[0]}"
            if dead:
                never, why = ", ".join(map(str, dead)), next(iter(dead.values()))
                yield f"{_field(one)} = {never} with {_field(other)} = {second} cannot run: {why}"


def _few(domain: Domain) -> tuple[Scalar, ...]:
    """Every value of a domain that has no more than a few; nothing of another."""
    values: Sequence[Scalar] = ()
    if isinstance(domain, IntRange):
        values = range(domain.low, domain.high + 1, domain.step)
    elif isinstance(domain, Choice):
        values = domain.values
    return tuple(values) if len(values) <= PAIRED_VALUES else ()


def _field(leaf: Leaf) -> str:
    return _LABEL.sub("", leaf.path).rpartition(".")[2]


def _trial_runs(root: SpaceNode, pins: dict[str, Scalar]) -> tuple[bool, list[Obstacle]]:
    """Whether any point with the pinned decisions can run; and why not, the most frequent reason first."""
    shape = Space(_shape(root, pins))
    reasons: Counter[Obstacle] = Counter()
    for point in shape.points():
        if any(path not in point or point[path] != value for path, value in pins.items()):
            continue
        obstacle = next(obstacles(shape.resolve(Decided(point))), None)
        if obstacle is None:
            return True, []
        reasons[_located(obstacle, point)] += 1
    return False, [reason for reason, _ in reasons.most_common()]


def _shape(node: SpaceNode, pins: dict[str, Scalar]) -> SpaceNode:
    """The same tree with, of each domain, the pinned value or the few that decide whether anything can run."""
    if isinstance(node, Leaf):
        if node.path in pins:
            return Leaf(node.path, Choice((pins[node.path],)))
        place, _, field = _LABEL.sub("", node.path).rpartition(".")
        below_model = place.startswith("space.model")
        return Leaf(node.path, Choice(telling(field, node.domain) if below_model else node.domain.examples()[:1]))
    if isinstance(node, Group):
        return Group({name: _shape(child, pins) for name, child in node.fields.items()})
    if isinstance(node, Branches):
        return Branches(node.path, {label: _shape(option, pins) for label, option in node.options.items()})
    return node


def _located(obstacle: Obstacle, point: dict[str, Scalar]) -> Obstacle:
    """The obstacle with its full path, labels of the point's branches included."""
    here = "space"
    for name in obstacle.path.split("."):
        while here in point:
            here = f"{here}[{point[here]}]"
        here = f"{here}.{name}"
    return Obstacle(here, obstacle.message)


def _is_branches(node: SpaceNode, path: str) -> bool:
    if isinstance(node, Branches):
        return node.path == path or any(_is_branches(option, path) for option in node.options.values())
    return isinstance(node, Group) and any(_is_branches(child, path) for child in node.fields.values())
