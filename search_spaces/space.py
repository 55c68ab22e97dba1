"""A space: a TrialConfig in which any leaf may be a domain, and any branch an any_of."""

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from search_spaces.domains import Choice, Chooser, Domain, Scalar
from search_spaces.feasibility import Obstacle, obstacles
from search_spaces.reader import Branches, Fixed, Group, Leaf, SpaceNode, leaves, resolve
from search_spaces.trial import Data, TrialConfig

POINTS_CHECKED = 2000
"""Points looked at before a space is called empty; a finite space of no more is looked at whole."""


@dataclass(frozen=True)
class Space:
    """The tree that was read; `resolve` turns a chooser's decisions into a TrialConfig."""

    root: SpaceNode

    def resolve(self, chooser: Chooser) -> TrialConfig:
        """The configuration that `chooser` makes. It may be infeasible: see `obstacles`."""
        return TrialConfig.model_validate(resolve(self.root, chooser))

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

    def values(self, path: str) -> list[Any]:
        """The values, or ends, that the leaf at `path` has in any branch; nothing where the file does not say."""
        found = list(_at(self.root, path.split(".")))
        ends = [value for node in found if isinstance(node, Leaf) for value in node.domain.examples()]
        return [*ends, *(node.value for node in found if isinstance(node, Fixed))]

    def data_sets(self) -> list[Data]:
        """The images that points of this space use."""
        points = [(node, point) for node in _at(self.root, ["data"]) for point in _points(node)]
        return [Data.model_validate(resolve(node, Decided(point))) for node, point in points] or [Data()]

    def check(self) -> list[Obstacle]:
        """Why no point can run, or which listed values never can; nothing if the space is sound."""
        return _check(self)


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


def _at(node: SpaceNode, names: list[str]) -> Iterator[SpaceNode]:
    """What stands at a path, once for each branch that has it."""
    if not names:
        yield node
    elif isinstance(node, Branches):
        for option in node.options.values():
            yield from _at(option, names)
    elif isinstance(node, Group) and names[0] in node.fields:
        yield from _at(node.fields[names[0]], names[1:])


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
        for parts in itertools.product(*(list(_points(child)) for child in node.fields.values())):
            yield {path: value for part in parts for path, value in part.items()}


def _size(node: SpaceNode) -> int:
    if isinstance(node, Fixed):
        return 1
    if isinstance(node, Leaf):
        return len(node.domain.examples())
    if isinstance(node, Branches):
        return sum(_size(option) for option in node.options.values())
    return math.prod(_size(child) for child in node.fields.values())


def _shape(node: SpaceNode) -> SpaceNode:
    """The part of a space that the geometry looks at; every other domain at one example."""
    if isinstance(node, Leaf) and not node.path.startswith("space.model."):
        return Fixed(node.domain.examples()[0])
    if isinstance(node, Group):
        return Group({name: _shape(child) for name, child in node.fields.items()})
    if isinstance(node, Branches):
        return Branches(node.path, {label: _shape(option) for label, option in node.options.items()})
    return node


def _check(space: Space) -> list[Obstacle]:
    shape = Space(_shape(space.root))
    complete = _size(shape.root) <= POINTS_CHECKED
    points = shape.points() if complete else (shape.draw(random.Random(i)) for i in range(POINTS_CHECKED))
    reasons: Counter[Obstacle] = Counter()
    blamed: dict[tuple[str, Scalar], Obstacle] = {}
    runs: set[tuple[str, Scalar]] = set()
    feasible = False
    for point in points:
        found = list(obstacles(shape.resolve(Decided(point))))
        reasons.update(found[:1])
        if found:
            for item in point.items():
                blamed.setdefault(item, found[0])
        else:
            feasible = True
            runs.update(point.items())
    if not feasible:
        return [obstacle for obstacle, _ in reasons.most_common(1)]
    if not complete:
        return []
    listed = {leaf.path: leaf.domain.values for leaf in shape.domains() if isinstance(leaf.domain, Choice)}
    return [
        Obstacle(path.removeprefix("space."), f"lists {value!r}, which can never run: {_tail(blamed[path, value])}")
        for path, values in listed.items()
        for value in values
        if (path, value) in blamed and (path, value) not in runs
    ]


def _tail(obstacle: Obstacle) -> str:
    return f"{obstacle.path} {obstacle.message}"
