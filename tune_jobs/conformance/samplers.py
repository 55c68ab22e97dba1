"""Properties of samplers."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from optuna.samplers import BaseSampler

from search_spaces import Decided, SpecError, SweepSpec, parse_sweep
from search_spaces.domains import Choice, Domain, IntRange, Scalar
from search_spaces.reading.document import dumped
from search_spaces.settings import SamplerSettings
from tune_jobs.conformance.kinds import Subject, general, in_file, loads_light_maker
from tune_jobs.conformance.outcome import Broken, Property, require
from tune_jobs.conformance.played import Curves, Played
from tune_jobs.conformance.settings import read, trees
from tune_jobs.record.rows import Ask
from tune_jobs.search.registry import sampler_of

TRIALS, EPOCHS = 8, 1
MANY = 16
"""More trials than the finite space has points."""

_LAYER = {"kind": "hybrid", "lambda": {"choice": [0.25, 0.5, 1]}, "k": {"choice": [2, 4, 9]}}
_BRANCHES = [
    {"layer": {"kind": "conv2d", "kernel_size": {"choice": [1, 3]}}},
    {"layer": {**_LAYER, "candidates": {"kind": "random", "r": {"int": [9, 10]}}}},
]
FINITE: dict[str, Any] = {"model": {"layer": _LAYER}, "training": {"epochs": EPOCHS}}
BRANCHED: dict[str, Any] = {"model": {"any_of": _BRANCHES}, "training": {"epochs": EPOCHS}}
REAL: dict[str, Any] = {
    "model": {"any_of": [{"layer": {**_LAYER, "lambda": {"uniform": [0.1, 0.9]}}}, _BRANCHES[0]]},
    "training": {"epochs": EPOCHS, "lr": {"log_uniform": [1e-4, 1e-1]}},
}
VALUES = (0.3, 0.9, 0.1, 0.5, 0.7)


def properties(subject: Subject) -> list[Property]:
    """Return the properties of a sampler."""
    try:
        tree = trees(subject.found, subject.key)[0]
    except Broken:
        return general(subject)  # one of them reports the error
    own = [] if subject.plugin is None else [loads_light_maker(subject.found.made_by)]
    each = partial(_each, subject)
    return [
        *general(subject),
        *own,
        in_file({"name": "x", "space": FINITE, "search": tree}, ("search",)),
        ("its proposals are in the space", each(in_the_space)),
        ("a search rebuilt at any record makes the same proposals", each(same_rebuilt)),
        ("it proposes for any values of trials", each(any_values)),
        ("it ends after all points of the space", partial(_ends, subject)),
    ]


def sweeps(kind: type[SamplerSettings], key: str = "sampler") -> Iterator[SweepSpec]:
    """Yield its settings on a finite space, a space with branches, and a space of real numbers if supported."""
    for tree, space in itertools.product(trees(kind, key), (FINITE, BRANCHED, REAL)):
        spec = _sweep(kind, tree, space, TRIALS)
        if spec is not None:
            yield spec


def in_the_space(spec: SweepSpec) -> None:
    """Require that each decision lies in its domain, and that no domain is left open."""
    sampler = sampler_of(spec.search, spec.space)
    for number in range(TRIALS):
        decided = sampler.decide(number, number)
        if decided is None:
            break
        if isinstance(decided, dict):
            _require_within(spec, number, decided)
            try:
                spec.space.resolve(Decided(decided))
            except KeyError as error:
                raise Broken(f"ask {number} does not decide {error}") from error
        else:
            kinds = "a point of the space, an Optuna sampler or None"
            require(isinstance(decided, BaseSampler), f"the decision for ask {number} must be {kinds}, got {decided!r}")
    for ask in _asks(spec):
        _require_within(spec, ask.number, ask.decisions)


def _require_within(spec: SweepSpec, ask: int, point: Mapping[str, Scalar]) -> None:
    domains = {leaf.path: leaf.domain for leaf in spec.space.domains()}
    for path, value in point.items():
        require(path in domains, f"ask {ask} decides {path}, which is not open in the space")
        require(_within(value, domains[path]), f"ask {ask} decides {path}: {value!r}, which is not in the space")


def same_rebuilt(spec: SweepSpec) -> None:
    """Require the same asks the second time, and with the search rebuilt after every record."""
    once = _asks(spec)
    for again, how in ((_asks(spec), "the second time"), (_asks(spec, cut_off=True), "after a rebuild")):
        different = next(
            (n for n, (a, b) in enumerate(zip(once, again, strict=False)) if a.decisions != b.decisions), None
        )
        wrong = (
            f"ask {different} differs {how}; a proposal may depend only on the ask's number and seed, and on the record"
        )
        require(different is None and len(once) == len(again), wrong)


def any_values(spec: SweepSpec) -> None:
    """Require proposals also after NaN, infinite and constant values."""
    for values in ((math.nan,), (math.inf, -math.inf), (0.5,)):
        asks = _asks(spec, values)
        require(len(asks) > 1, f"after values of {values} it makes no more proposals")


def _each(subject: Subject, look: Callable[[SweepSpec], None]) -> Callable[[], str]:
    def looked() -> str:
        count = 0
        for spec in sweeps(subject.found, subject.key):
            look(spec)
            count += 1
        require(count, "it supports none of the tested spaces")
        return f"{count} spaces and settings"

    return looked


def _ends(subject: Subject) -> str:
    for tree in trees(subject.found, subject.key):
        spec = _sweep(subject.found, tree, FINITE, MANY)
        if spec is None:
            raise Broken("it must support a finite space")
        played = Played(spec, _curves(VALUES))
        there, points = len(played.record.trials), spec.planned() or 0
        require(played.search.done or played.search.exhausted, f"after {there} trials it neither continues nor ends")
        require(there == points, f"it proposes {there} of the {points} configurations and ends")
    return f"{points} configurations, each once"


def _sweep(kind: type[SamplerSettings], tree: dict[str, Any], space: dict[str, Any], trials: int) -> SweepSpec | None:
    """Return a sweep with these settings; `None` if they do not support the space."""
    read(kind, tree)
    more = {"trials": trials} if "trials" in kind.model_fields else {}
    try:
        return parse_sweep(dumped({"name": "sampler", "space": space, "search": {**tree, **more}}))
    except SpecError:
        return None


def _asks(spec: SweepSpec, values: tuple[float, ...] = VALUES, *, cut_off: bool = False) -> list[Ask]:
    return Played(spec, _curves(values), cut_off=cut_off).record.asks


def _curves(values: tuple[float, ...]) -> Curves:
    repeated = itertools.islice(itertools.cycle(values), 2 * MANY)
    return [[value] * EPOCHS for value in repeated]


def _within(value: Scalar, domain: Domain) -> bool:
    if isinstance(domain, Choice):
        return any(value == other and type(value) is type(other) for other in domain.values)
    if type(value) is bool or not isinstance(value, int | float):
        return False
    if isinstance(domain, IntRange):
        return type(value) is int and domain.low <= value <= domain.high and (value - domain.low) % domain.step == 0
    return domain.low <= value <= domain.high
