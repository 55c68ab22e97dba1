"""What stopping rules are worth on recorded curves: regret and cost at equal budgets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from search_spaces import SweepSpec
from search_spaces.settings import Budget, Grid, Metric, NoStopping, Paper, Resources, Tracking
from tune_jobs.errors import UsageError
from tune_jobs.results.recorded.matching import Runs
from tune_jobs.results.recorded.table import RecordedTable
from tune_jobs.simulate.one_sweep import finish_best, play
from tune_jobs.simulate.outcome import Result, Simulation
from tune_jobs.simulate.playback import CostUnit, Playback, by_number, one_of
from tune_jobs.simulate.regret import mean_of
from tune_jobs.simulate.rules import NamedRule, default_rules, rules_of
from tune_jobs.simulate.spaces import Coverage, looked_up, playable, stand_ins, table_space

METRICS = ("val/accuracy", "test/accuracy", "val/loss", "test/loss")
"""The objective of a table without a sweep file: the first that it has."""

WORKERS = 4


@dataclass(frozen=True)
class Setting:
    """How sweeps are played."""

    repeats: int = 20
    budgets: tuple[float, ...] = (8.0, 16.0, 32.0)
    """In full trials' worth."""

    rules: str | None = None
    """See `tune_jobs.simulate.rules`; the baselines if `None`."""

    workers: int | None = None
    """Trials at a time; `resources.max_concurrent` of the file, else `WORKERS`, if `None`."""

    cost: CostUnit = "epochs"
    metric: str | None = None
    """Without a sweep file: the objective."""

    epochs: int | None = None
    """Without a sweep file: of a trial; what most runs have if `None`."""


@dataclass(frozen=True)
class _Game:
    """What is the same for every rule."""

    table: RecordedTable
    metric: str
    goal: str
    epochs: int
    finals: np.ndarray
    """Of the runs that can be played, their last value."""

    unit: float
    """What a full trial costs."""

    workers: int
    cost: CostUnit
    sweep: Callable[[int], tuple[SweepSpec, Playback]]
    """By number of the repeat."""

    coverage: Coverage | None
    notes: list[str]


def simulate(
    table: RecordedTable, spec: SweepSpec | None, setting: Setting, say: Callable[[str], None] = lambda _: None
) -> Simulation:
    """Play a sweep, or draws from the table itself without replacement, under each rule.

    Args:
        table: The recorded runs.
        spec: What to play: its space, sampler and limits; without one the table is the space.
        setting: How.
        say: Is told how far it is.

    Raises:
        UsageError: If the table lacks what is asked for.
    """
    if setting.cost == "seconds" and table.seconds is None:
        raise UsageError(f"--cost seconds needs recorded seconds, and {table.name} has none; take --cost epochs.")
    game = _of_table(table, setting) if spec is None else _of_file(table, spec, setting)
    own = None if spec is None else spec.stopping
    rules = rules_of(setting.rules or default_rules(game.epochs, own), game.epochs, own)
    results = []
    for rule in rules:
        say(f"playing {rule.name}: {setting.repeats} times ...")
        results += _results(game, rule, setting)
    best = (max if game.goal == "maximize" else min)(game.finals)
    return Simulation(
        table=game.table,
        metric=game.metric,
        played=game.table.metric(game.metric),
        goal=game.goal,
        epochs=game.epochs,
        best=float(best),
        coverage=game.coverage,
        notes=game.notes,
        workers=game.workers,
        cost=game.cost,
        repeats=setting.repeats,
        results=results,
    )


def _of_table(table: RecordedTable, setting: Setting) -> _Game:
    """The table is the space: each run once, in an order that is the same for every rule."""
    metric = setting.metric or next((name for name in METRICS if name in table.curves), METRICS[0])
    _require_one_data_set(table)
    curve = table.metric(metric)
    epochs = setting.epochs or table.usual_epochs
    table = table.of_epochs(epochs)
    goal = "minimize" if metric.endswith(("loss", "error")) else "maximize"
    workers = setting.workers or WORKERS
    playback = Playback(table, metric, by_number, setting.cost)
    configs, orders = stand_ins(len(table.runs), epochs), np.random.default_rng(0)
    made = [[int(number) for number in orders.permutation(len(table.runs))] for _ in range(setting.repeats)]

    def sweep(repeat: int) -> tuple[SweepSpec, Playback]:
        spec = SweepSpec(
            name=table.name,
            space=table_space(made[repeat], configs),
            evaluation=Paper(protocol="paper"),
            metric=cast("Metric", metric),
            goal=cast("Any", goal),
            search=Grid(),
            stopping=NoStopping(),
            resources=Resources(max_concurrent=workers),
            budget=Budget(),
            tracking=Tracking(),
            text="",
        )
        return spec, playback

    whole = [n for n, run in enumerate(table.runs) if not run.diverged]
    unit = float(np.mean([playback.cost(n, 0, epochs) for n in whole]))
    finals = table.curves[curve][whole, epochs - 1]
    notes = _stand_in(metric, curve)
    return _Game(table, metric, goal, epochs, finals, unit, workers, setting.cost, sweep, None, notes)


def _require_one_data_set(table: RecordedTable) -> None:
    """Values of several data sets are not to be compared."""
    found = sorted({str(run.params.get("dataset", run.params.get("data.name"))) for run in table.runs})
    if len(found) > 1:
        name = "dataset" if any("dataset" in run.params for run in table.runs) else "data.name"
        raise UsageError(
            f"the runs of {table.name} are on {', '.join(found)}, which cannot be compared; choose with "
            f"--where {name}={found[0]}, or give FILE."
        )


def _of_file(table: RecordedTable, spec: SweepSpec, setting: Setting) -> _Game:
    played = table.metric(spec.metric)
    runs = Runs(table)
    looked = looked_up(playable(spec.space, runs), runs)
    space, found, epochs_of = looked.space, looked.coverage, looked.epochs
    workers = setting.workers or spec.resources.max_concurrent or WORKERS
    notes = _notes(spec, played, found, setting)
    budget = spec.budget if setting.cost == "seconds" else Budget(trials=spec.budget.trials)
    resources = spec.resources.model_copy(update={"max_concurrent": workers, "max_trial_hours": None})

    def sweep(repeat: int) -> tuple[SweepSpec, Playback]:
        seed = getattr(spec.search, "seed", None)
        search = spec.search if seed is None else spec.search.model_copy(update={"seed": seed + repeat})
        one = replace(spec, space=space, search=search, resources=resources, budget=budget)
        return one, Playback(table, spec.metric, one_of(runs, repeat), setting.cost)

    _, playback = sweep(0)
    whole = [number for number in epochs_of if not table.runs[number].diverged]
    if not whole:
        raise UsageError(f"every run that the space of {spec.name} has in {table.name} diverged; there is no best one.")
    finals = np.array([playback.value(number, epochs_of[number]) for number in whole])
    unit = float(np.mean([playback.cost(number, 0, epochs_of[number]) for number in whole]))
    epochs = max(epochs_of.values())
    return _Game(table, spec.metric, spec.goal, epochs, finals, unit, workers, setting.cost, sweep, found, notes)


def _stand_in(asked: str, played: str) -> list[str]:
    return [] if asked == played else [f"the recorded {played} stands for {asked}"]


def _notes(spec: SweepSpec, played: str, found: Coverage, setting: Setting) -> list[str]:
    notes = _stand_in(spec.metric, played)
    if isinstance(spec.search, Grid):
        notes.append("a grid has the same order in every repeat; only which of several equal runs is played differs")
    for path, values in found.nearest.items():
        notes.append(f"{path}: the nearest recorded value, of {', '.join(f'{value:g}' for value in values)}")
    hours = [unit for unit in ("gpu_hours", "cpu_hours", "wall_hours") if getattr(spec.budget, unit) is not None]
    if hours and setting.cost != "seconds":
        named = ", ".join(f"budget.{unit}" for unit in hours)
        notes.append(f"{named} does not apply, as an epoch costs one unit here; --cost seconds applies it")
    return notes


def _results(game: _Game, rule: NamedRule, setting: Setting) -> list[Result]:
    """By budget."""
    rows = [_row(game, rule, repeat, setting.budgets) for repeat in range(setting.repeats)]
    found = []
    for place, budget in enumerate(setting.budgets):
        regret, cost, started, complete = zip(*(row[place] for row in rows), strict=True)
        means = float(np.mean(started)), float(np.mean(complete))
        found.append(Result(rule.name, budget, mean_of(regret), mean_of(cost), *means))
    return found


def _row(game: _Game, rule: NamedRule, repeat: int, budgets: Sequence[float]) -> list[tuple[float, float, int, int]]:
    """Of one repeat, by budget: regret, cost in full trials' worth, trials started and complete."""
    spec, playback = game.sweep(repeat)
    spec = replace(spec, stopping=rule.stopping)
    most = max(budgets) * game.unit
    cut = None if rule.best is None else rule.best[0]
    course = play(spec, playback, workers=game.workers, most=most, cut=cut)
    found = []
    for budget in budgets:
        limit = budget * game.unit
        if rule.best is not None:
            first, keep = rule.best
            keep = min(keep, max(1, int(budget)))
            ended = finish_best(course, playback, limit, game.goal, cut=first, keep=keep, epochs=game.epochs)
            value, spent, started, complete = ended.value, ended.spent, ended.started, ended.complete
        else:
            value, spent = course.best(limit, game.goal), min(course.spent, limit)
            started = sum(cost < limit for cost in course.started)
            complete = sum(cost <= limit for cost, _ in course.complete)
        found.append((_regret(game, value), spent / game.unit, started, complete))
    return found


def _regret(game: _Game, value: float | None) -> float:
    """A search without a complete trial has found no more than the worst run."""
    sign = 1 if game.goal == "maximize" else -1
    finals = sign * game.finals
    lost = float(finals.max() - (finals.min() if value is None else sign * value))
    return 100 * lost if game.metric.endswith("accuracy") else lost


def budgets_of(text: str) -> tuple[float, ...]:
    """The budgets that a person types, comma by comma, in rising order.

    Raises:
        UsageError: If one is no number above 0.
    """
    found: Mapping[str, float] = {part: _number(part) for part in text.split(",") if part.strip()}
    if not found or any(not value > 0 for value in found.values()):
        raise UsageError(f"--budgets must be numbers of full trials above 0, got {text!r}; for example 8,16,32.")
    return tuple(sorted(set(found.values())))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
