"""Properties of stopping rules."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import optuna

from search_spaces import SweepSpec, parse_sweep
from search_spaces.reading.document import dumped
from search_spaces.settings import NoStopping, RandomSearch, Stopping
from tune_jobs.conformance.kinds import Subject, general, in_file, loads_light_maker
from tune_jobs.conformance.outcome import Broken, Property, require
from tune_jobs.conformance.played import Curves, Played, drawn
from tune_jobs.conformance.settings import read, trees
from tune_jobs.search.registry import rule_of

EPOCHS, TRIALS = 9, 7
MANY = 24
"""Number of trials with which even `auto` has learned enough to stop some."""

ODD = [0.0, 0.25, 0.5, 0.75, 1.0, math.nan, math.inf, -math.inf]
CONSTANT = (0.5, math.nan, math.inf)
DRAWS = 6


def properties(subject: Subject) -> list[Property]:
    """Return the properties of a stopping rule."""
    try:
        listed = trees(subject.found, subject.key)
        rules: list[Stopping] = [read(subject.found, tree) for tree in listed]
    except Broken:
        return general(subject)  # one of them reports the error
    own = [] if subject.plugin is None else [loads_light_maker(subject.found.made_by)]
    file = {"name": "x", "space": SPACE, "search": {"sampler": "random", "trials": TRIALS}, "stopping": listed[0]}
    looks: list[tuple[str, Callable[[Stopping], object]]] = [
        ("a search rebuilt at any record stops the same trials at the same epochs", partial(_drawn, same_rebuilt, 2)),
        ("minimizing the negated metric gives the same decisions", partial(_drawn, same_minimized, DRAWS)),
        ("with settled ranks it stops the same trials, also rebuilt and minimized", settled),
        ("no trial counts as stopped at its last epoch", partial(_drawn, runs_to_the_end, DRAWS)),
        ("constant and equal curves get the same decisions for both goals", _constants),
        ("NaN is never better than the worst value", _places),
        ("the values of an excluded trial do not matter", partial(_drawn, excluded_unseen, 2)),
        ("the order of stored epochs does not matter", any_order),
    ]
    listed_looks: list[Property] = [(name, partial(_each, rules, look)) for name, look in looks]
    return [*general(subject), *own, in_file(file, ("stopping",)), *listed_looks]


def _each(rules: Sequence[Stopping], look: Callable[[Stopping], object]) -> str:
    for rule in rules:
        look(rule)
    return ""


def _drawn(look: Callable[[Stopping, Curves], None], draws: int, rule: Stopping) -> None:
    for curves in some(draws):
        look(rule, curves)


def _constants(rule: Stopping) -> None:
    for value in CONSTANT:
        constant(rule, value)


def _places(rule: Stopping) -> None:
    for place, curves in enumerate(some(DRAWS)):
        nan_is_worst(rule, curves, place)


SPACE: dict[str, Any] = {
    "model": {"layer": {"kind": "hybrid", "lambda": {"uniform": [0.25, 0.75]}, "k": {"int": [2, 9]}}},
    "training": {"epochs": EPOCHS},
}


@cache
def _space(metric: str) -> SweepSpec:
    search = {"sampler": "random", "trials": TRIALS}
    return parse_sweep(dumped({"name": "rules", "space": SPACE, "objective": {"metric": metric}, "search": search}))


def spec(rule: Stopping, metric: str = "val/accuracy", trials: int = TRIALS) -> SweepSpec:
    """Return a sweep with a stopping rule."""
    return replace(_space(metric), stopping=rule, search=RandomSearch(sampler="random", trials=trials))


def some(draws: int) -> list[Curves]:
    """Return random curves from a fixed seed."""
    rng = random.Random(0)
    return [drawn(rng, TRIALS, EPOCHS, ODD) for _ in range(draws)]


def _settled() -> Curves:
    """Return curves whose ranks are settled from the first epoch on."""
    rng = random.Random(5)
    tops = [rng.uniform(0.3, 0.9) for _ in range(MANY)]
    return [[top * (1 - 0.6**epoch) for epoch in range(1, EPOCHS + 1)] for top in tops]


def same_rebuilt(rule: Stopping, curves: Curves) -> None:
    """Require that a search rebuilt at any record stops the same trials at the same epochs."""
    once = Played(spec(rule), curves)
    require(
        once.decisions == Played(spec(rule), curves).decisions, "the same curves get other decisions the second time"
    )
    again = Played(spec(rule), curves, cut_off=True).decisions
    require(once.decisions == again, f"its decisions differ after a rebuild: {_first(once.decisions, again)}")


def same_minimized(rule: Stopping, curves: Curves) -> None:
    """Require the same decisions when the negated metric is minimized."""
    found = Played(spec(rule), curves).decisions
    negated = Played(spec(rule, "val/loss"), _negated(curves)).decisions
    require(found == negated, f"its decisions differ for a loss: {_first(found, negated)}; compare by `score`")


def settled(rule: Stopping, *, rebuilt: bool = True) -> list[tuple[int, int, bool]]:
    """Require that a rule stops the same trials with settled ranks, rebuilt and minimized; return its decisions."""
    curves = _settled()
    once = Played(spec(rule, trials=MANY), curves).decisions
    never = isinstance(rule, NoStopping)
    wrong = f"it stops none of {MANY} trials; add settings to `examples` with which it stops some"
    require(any(stops for _, _, stops in once) != never, wrong)
    again = Played(spec(rule, trials=MANY), curves, cut_off=True).decisions if rebuilt else once
    require(once == again, f"its decisions differ after a rebuild: {_first(once, again)}")
    negated = Played(spec(rule, "val/loss", trials=MANY), _negated(curves)).decisions
    require(once == negated, f"its decisions differ for a loss: {_first(once, negated)}; compare by `score`")
    return once


def runs_to_the_end(rule: Stopping, curves: Curves) -> None:
    """Require that no trial counts as stopped at its last epoch."""
    found = Played(spec(rule), curves)
    late = [number for number, epoch, stops in found.decisions if stops and epoch == EPOCHS]
    require(not late, f"trials {late} are stopped at their last epoch")
    require({state for _, state, _ in found.record.trials.values()} <= {"complete", "stopped"}, "a trial does not end")
    require(len(found.record.trials) == TRIALS, f"{len(found.record.trials)} of {TRIALS} trials were started")


def constant(rule: Stopping, value: float) -> None:
    """Require the same decisions for both goals on constant and equal curves."""
    curves = [[value] * EPOCHS] * TRIALS
    found = Played(spec(rule), curves, cut_off=True).decisions
    negated = Played(spec(rule, "val/loss"), _negated(curves)).decisions
    require(found == negated, f"the decisions on curves of {value} differ for a loss: {_first(found, negated)}")


def nan_is_worst(rule: Stopping, curves: Curves, place: int) -> None:
    """Require that NaN is never better than the worst value."""
    finite = [[value if math.isfinite(value) else 0.5 for value in curve] for curve in curves]
    last = [
        Played(spec(rule), [*finite[:place], [value] * EPOCHS, *finite[place + 1 :]]).last_epochs[place + 1]
        for value in (math.nan, -1.0)
    ]
    require(
        last[0] <= last[1], f"a trial with NaN runs to epoch {last[0]}, but the worst trial only to epoch {last[1]}"
    )


def excluded_unseen(rule: Stopping, curves: Curves) -> None:
    """Require that the values of an excluded trial do not matter."""
    decisions = []
    for value in (0.0, 1.0, math.nan):
        seen = [[value] * EPOCHS, *curves[1:]]
        first = replace(spec(NoStopping()), search=RandomSearch(sampler="random", trials=4))
        record = Played(first, seen).record
        excluded = frozenset([next(iter(record.trials))])
        decisions.append(Played(spec(rule), seen, record=record, excluded=excluded).decisions)
    require(decisions[0] == decisions[1] == decisions[2], "the values of an excluded trial change its decisions")
    started = {number for number, _, _ in decisions[0]}
    require(started == set(range(5, TRIALS + 1)), f"trials {sorted(started)} are started, not 5 to {TRIALS}")


def any_order(rule: Stopping) -> None:
    """Require that the order of stored epochs does not matter."""
    rng = random.Random(0)
    for _ in range(20):
        values = [[rng.choice([0.0, 0.5, 1.0, math.nan]) for _ in range(4)] for _ in range(6)]
        answers = []
        for step in (1, -1):
            study = optuna.create_study(study_name="x", direction="maximize")
            *others, own = (dict(list(enumerate(each, 1))[::step]) for each in values)
            for other in others:
                study.add_trial(optuna.create_trial(value=0.0, intermediate_values=other))
            study.ask()
            trial = study.trials[-1]
            trial.intermediate_values = own
            answers.append(rule_of(rule, spec(rule).space).stops(study, trial))
        require(answers[0] == answers[1], "its decisions depend on the order of epochs in the study")


def _negated(curves: Curves) -> Curves:
    return [[-value for value in curve] for curve in curves]


def _first(one: list[tuple[int, int, bool]], other: list[tuple[int, int, bool]]) -> str:
    """Return the first difference, in words."""
    words = {True: "stopped", False: "not stopped"}
    for (trial, epoch, stops), (*_, also) in zip(one, other, strict=False):
        if stops != also:
            return f"trial {trial} at epoch {epoch} is {words[stops]}, then {words[also]}"
    return "other trials run"
