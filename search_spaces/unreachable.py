"""Values of a space that can never run because of the geometry: all of it, single values, or pairs of values.

Only the few decisive values of each domain are tried, and only as many configurations as take a moment. In a larger
space, infeasible configurations that are not found here are found when they are drawn.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from search_spaces.base import Infeasible
from search_spaces.domains import Choice, Domain, IntRange, Scalar
from search_spaces.feasibility import infeasibilities
from search_spaces.nodes import Branches, Decided, Group, Leaf, SpaceNode, leaves, points, resolve
from search_spaces.reading.document import MOST_PROBLEMS
from search_spaces.trial import TrialConfig

PAIRED_VALUES = 32
"""Domains with more values are not checked value by value."""

LOOKED_AT = 3000
"""Configurations to try in the search for values that never run, and the same number for pairs of values."""

_NODES = 20
"""Nodes of a space that take as long to traverse as one configuration takes to try."""

_LISTED = 200
"""Largest number of fields whose pairs are tried."""

_LABEL = re.compile(r"\[[^]]*\]")


def never_run(root: SpaceNode) -> list[Infeasible]:
    """Return why no point can run, or which listed values never can, by full path; empty if the space is sound."""
    look = _Look(root)
    runs, reasons = look.runs({})
    if runs is False:
        return reasons[:1]
    found: list[Infeasible] = []
    dead: tuple[str, ...] = ()
    branches = set(_branches(root))
    for leaf in sorted(leaves(root), key=lambda leaf: not leaf.decides):
        if look.is_over or len(found) >= MOST_PROBLEMS:
            break
        if not isinstance(leaf.domain, Choice) or leaf.path.startswith(dead):
            continue
        for value in itertools.takewhile(lambda _: not look.is_over, leaf.domain.values):
            runs, reasons = look.runs({leaf.path: value})
            if runs is not False or not reasons:
                continue
            first = next((reason for reason in reasons if reason.path == leaf.path), reasons[0])
            if leaf.path in branches:
                here = f"{leaf.path}[{value}]"
                dead = (*dead, here)
                found.append(Infeasible(here, f"can never run: {first.path.removeprefix(here + '.')} {first.message}"))
            elif first.path == leaf.path:
                found.append(Infeasible(leaf.path, f"lists {value}, which can never run: it {first.message}"))
            else:
                found.append(Infeasible(leaf.path, f"lists {value}, which can never run: {first.path} {first.message}"))
    return found


def dead_pairs(root: SpaceNode) -> Iterator[str]:
    """Yield pairs of values that can each run but never together, with the reason: `k = 12 with patch = 2 ...`."""
    look = _Look(root)
    listed = [
        Leaf(leaf.path, Choice(values))
        for leaf in leaves(root)
        if leaf.path.startswith("space.model") and (values := _few(leaf.domain))
    ][:_LISTED]
    alone = {
        (leaf.path, value): look.runs({leaf.path: value})[0] for leaf in listed for value in leaf.domain.examples()
    }
    for one, other in itertools.combinations(listed, 2):
        if look.is_over:
            return
        for second in other.domain.examples():
            dead: dict[Scalar, str] = {}
            for first in one.domain.examples():
                if alone[one.path, first] and alone[other.path, second]:
                    runs, reasons = look.runs({one.path: first, other.path: second})
                    if runs is False and reasons:
                        dead[first] = f"{reasons[0].path} {reasons[0].rule}"
            if dead:
                never, why = ", ".join(map(str, dead)), next(iter(dead.values()))
                yield f"{_field(one)} = {never} with {_field(other)} = {second} cannot run: {why}"


def _few(domain: Domain) -> tuple[Scalar, ...]:
    """Return every value of a small domain; nothing for a larger one."""
    values: Sequence[Scalar] = ()
    if isinstance(domain, IntRange):
        values = range(domain.low, domain.high + 1, domain.step)
    elif isinstance(domain, Choice):
        values = domain.values
    return tuple(values) if len(values) <= PAIRED_VALUES else ()


def _field(leaf: Leaf) -> str:
    return _LABEL.sub("", leaf.path).rpartition(".")[2]


class _Look:
    """Try points of a space until the limit is reached."""

    def __init__(self, root: SpaceNode) -> None:
        self._root = root
        self._left = LOOKED_AT
        self._shape_costs = _size(root) // _NODES

    @property
    def is_over(self) -> bool:
        """Whether the limit is reached."""
        return self._left <= 0

    def runs(self, pins: dict[str, Scalar]) -> tuple[bool | None, list[Infeasible]]:
        """Return whether any point with the pinned decisions can run, and why not, the most frequent reason first.

        The first value is `None` if it is not known.
        """
        if self.is_over:
            return None, []
        self._left -= self._shape_costs
        shape = _shape(self._root, pins)
        reasons: Counter[Infeasible] = Counter()
        for point in points(shape):
            if self.is_over:
                return None, []
            self._left -= 1
            if any(path not in point or point[path] != value for path, value in pins.items()):
                continue
            reason = next(infeasibilities(TrialConfig.model_validate(resolve(shape, Decided(point)))), None)
            if reason is None:
                return True, []
            reasons[_located(reason, point)] += 1
        return False, [reason for reason, _ in reasons.most_common()]


def _shape(node: SpaceNode, pins: dict[str, Scalar]) -> SpaceNode:
    """Return the tree with each domain reduced to its pinned value or its decisive values.

    An any_of keeps only the pinned option, or the option that contains something pinned.
    """
    if isinstance(node, Leaf):
        if node.path in pins:
            return Leaf(node.path, Choice((pins[node.path],)))
        return Leaf(node.path, Choice(node.representatives or node.domain.examples()[:1]))
    if isinstance(node, Group):
        return Group({name: _shape(child, pins) for name, child in node.fields.items()})
    if isinstance(node, Branches):
        kept = {str(label) for path, label in pins.items() if path == node.path}
        here = f"{node.path}["
        kept |= {path[len(here) :].partition("]")[0] for path in pins if path.startswith(here)}
        options = {label: node.options[label] for label in sorted(kept)} if kept else node.options
        return Branches(node.path, {label: _shape(option, pins) for label, option in options.items()})
    return node


def _located(reason: Infeasible, point: dict[str, Scalar]) -> Infeasible:
    """Return the reason with its full path, including the labels of the point's branches."""
    here = "space"
    for name in reason.path.split("."):
        while here in point:
            here = f"{here}[{point[here]}]"
        here = f"{here}.{name}"
    return replace(reason, path=here)


def _branches(node: SpaceNode) -> Iterator[str]:
    if isinstance(node, Branches):
        yield node.path
        for option in node.options.values():
            yield from _branches(option)
    elif isinstance(node, Group):
        for child in node.fields.values():
            yield from _branches(child)


def _size(node: SpaceNode) -> int:
    below = node.fields if isinstance(node, Group) else node.options if isinstance(node, Branches) else {}
    return 1 + sum(map(_size, below.values()))
