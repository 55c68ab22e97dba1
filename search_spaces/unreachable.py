"""What a space offers and the geometry never lets run: nothing at all, single values, pairs of values.

Of each domain only the few values are tried that decide whether anything can run.
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
from search_spaces.trial import TrialConfig

PAIRED_VALUES = 32
"""A domain of more values is not looked at value by value."""

_LABEL = re.compile(r"\[[^]]*\]")


def never_run(root: SpaceNode) -> list[Infeasible]:
    """Why no point can run, or which listed values never can, by full path; nothing if the space is sound."""
    runs, reasons = _trial_runs(root, {})
    if not runs:
        return reasons[:1]
    found: list[Infeasible] = []
    dead: tuple[str, ...] = ()
    for leaf in leaves(root):
        if not isinstance(leaf.domain, Choice) or leaf.path.startswith(dead):
            continue
        branches = _is_branches(root, leaf.path)
        for value in leaf.domain.values:
            runs, reasons = _trial_runs(root, {leaf.path: value})
            if runs or not reasons:
                continue
            first = next((reason for reason in reasons if reason.path == leaf.path), reasons[0])
            if branches:
                here = f"{leaf.path}[{value}]"
                dead = (*dead, here)
                found.append(Infeasible(here, f"can never run: {first.path.removeprefix(here + '.')} {first.message}"))
            elif first.path == leaf.path:
                found.append(Infeasible(leaf.path, f"lists {value}, which can never run: it {first.message}"))
            else:
                found.append(Infeasible(leaf.path, f"lists {value}, which can never run: {first.path} {first.message}"))
    return found


def dead_pairs(root: SpaceNode) -> Iterator[str]:
    """Values of two fields that can each run, and never together: `k = 12, 16 with patch = 2 ...`, and why."""
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
                        dead[first] = f"{reasons[0].path} {reasons[0].rule}"
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


def _trial_runs(root: SpaceNode, pins: dict[str, Scalar]) -> tuple[bool, list[Infeasible]]:
    """Whether any point with the pinned decisions can run; and why not, the most frequent reason first."""
    shape = _shape(root, pins)
    reasons: Counter[Infeasible] = Counter()
    for point in points(shape):
        if any(path not in point or point[path] != value for path, value in pins.items()):
            continue
        reason = next(infeasibilities(TrialConfig.model_validate(resolve(shape, Decided(point)))), None)
        if reason is None:
            return True, []
        reasons[_located(reason, point)] += 1
    return False, [reason for reason, _ in reasons.most_common()]


def _shape(node: SpaceNode, pins: dict[str, Scalar]) -> SpaceNode:
    """The same tree with, of each domain, the pinned value or the few that decide whether anything can run."""
    if isinstance(node, Leaf):
        if node.path in pins:
            return Leaf(node.path, Choice((pins[node.path],)))
        return Leaf(node.path, Choice(node.representatives or node.domain.examples()[:1]))
    if isinstance(node, Group):
        return Group({name: _shape(child, pins) for name, child in node.fields.items()})
    if isinstance(node, Branches):
        return Branches(node.path, {label: _shape(option, pins) for label, option in node.options.items()})
    return node


def _located(reason: Infeasible, point: dict[str, Scalar]) -> Infeasible:
    """The same with its full path, labels of the point's branches included."""
    here = "space"
    for name in reason.path.split("."):
        while here in point:
            here = f"{here}[{point[here]}]"
        here = f"{here}.{name}"
    return replace(reason, path=here)


def _is_branches(node: SpaceNode, path: str) -> bool:
    if isinstance(node, Branches):
        return node.path == path or any(_is_branches(option, path) for option in node.options.values())
    return isinstance(node, Group) and any(_is_branches(child, path) for child in node.fields.values())
