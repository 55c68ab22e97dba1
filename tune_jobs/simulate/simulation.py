"""Compares stopping rules on recorded curves: regret and cost at equal budgets."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import numpy as np

from search_spaces import SweepSpec, TrialConfig
from search_spaces.plurals import plural
from search_spaces.settings import Auto, Budget, Grid, Metric, NoStopping, Paper, Resources, Tracking
from tune_jobs.errors import UsageError
from tune_jobs.results.recorded.matching import Runs
from tune_jobs.results.recorded.published import PUBLISHED_NAME
from tune_jobs.results.recorded.table import RecordedTable
from tune_jobs.simulate.one_sweep import finish_best, play
from tune_jobs.simulate.outcome import Result, Simulation
from tune_jobs.simulate.playback import CostUnit, Playback, by_number, one_of
from tune_jobs.simulate.processes import spread
from tune_jobs.simulate.regret import mean_of
from tune_jobs.simulate.rules import NamedRule, default_rules, rules_of, without_prior
from tune_jobs.simulate.spaces import Coverage, looked_up, playable, stand_ins, table_space

METRICS = ("val/accuracy", "test/accuracy", "val/loss", "test/loss")
"""The objective without a sweep file: the first of these that the table has."""

WORKERS = 4

TELL_S = 5.0
"""Seconds between two progress messages."""


@dataclass(frozen=True)
class Setting:
    """How sweeps are simulated."""

    repeats: int = 20
    budgets: tuple[float, ...] = (8.0, 16.0, 32.0)
    """The budgets in full trials."""

    rules: str | None = None
    """See `tune_jobs.simulate.rules`; the baselines if `None`."""

    workers: int | None = None
    """Trials at a time; if `None`, `resources.max_concurrent` of the file or `WORKERS`."""

    cost: CostUnit = "epochs"
    metric: str | None = None
    """The objective, without a sweep file."""

    epochs: int | None = None
    """Epochs of a trial, without a sweep file; the most common length of the runs if `None`."""


Sweeps = Callable[[int], tuple[SweepSpec, Playback]]
"""Returns the sweep and the playback for the number of a repeat."""


@dataclass(frozen=True)
class _OfTable:
    """The table as the space: each run once, in the same order for every rule."""

    spec: SweepSpec
    playback: Playback
    orders: Sequence[Sequence[int]]
    configs: Sequence[TrialConfig]

    def __call__(self, repeat: int) -> tuple[SweepSpec, Playback]:
        return replace(self.spec, space=table_space(self.orders[repeat], self.configs)), self.playback


@dataclass(frozen=True)
class _OfFile:
    """The sweep file, with another seed in each repeat."""

    spec: SweepSpec
    table: RecordedTable
    runs: Runs
    cost: CostUnit

    def __call__(self, repeat: int) -> tuple[SweepSpec, Playback]:
        seed = getattr(self.spec.search, "seed", None)
        search = self.spec.search if seed is None else self.spec.search.model_copy(update={"seed": seed + repeat})
        playback = Playback(self.table, self.spec.metric, one_of(self.runs, repeat), self.cost)
        return replace(self.spec, search=search), playback


@dataclass(frozen=True)
class _Game:
    """Everything that is the same for all rules."""

    table: RecordedTable
    metric: str
    goal: str
    epochs: int
    finals: np.ndarray
    """The final values of the runs that can be used."""

    unit: float
    """The cost of a full trial."""

    workers: int
    cost: CostUnit
    sweep: Sweeps
    coverage: Coverage | None
    notes: list[str]


def simulate(
    table: RecordedTable,
    spec: SweepSpec | None,
    setting: Setting,
    say: Callable[[str], None] = lambda _: None,
    processes: int = 1,
) -> Simulation:
    """Simulate a sweep, or draws from the table without replacement, with each rule.

    Args:
        table: The recorded runs.
        spec: The sweep, of which space, sampler and limits are used; if `None`, the table is the space.
        setting: How to simulate.
        say: Receives progress messages.
        processes: Maximum number of processes; it does not affect the results.

    Raises:
        UsageError: If the table lacks the requested data.
    """
    if setting.cost == "seconds" and table.seconds is None:
        raise UsageError(
            f"--cost seconds needs the seconds of every epoch, and {table.name} has none; use --cost epochs."
        )
    game = _of_table(table, setting) if spec is None else _of_file(table, spec, setting)
    own, search = (None, None) if spec is None else (spec.stopping, spec.search)
    rules = rules_of(setting.rules or default_rules(game.epochs, own), game.epochs, own, search)
    notes = game.notes
    if table.name == PUBLISHED_NAME and any(isinstance(rule.stopping, Auto) for rule in rules):
        rules = [without_prior(rule) for rule in rules]
        notes = [*notes, "auto is simulated without its prior, which was made from these runs"]
    results = _results(game, rules, setting, say, processes)
    best = (max if game.goal == "maximize" else min)(game.finals)
    return Simulation(
        table=game.table,
        metric=game.metric,
        played=game.table.metric(game.metric),
        goal=game.goal,
        epochs=game.epochs,
        best=float(best),
        coverage=game.coverage,
        notes=notes,
        workers=game.workers,
        cost=game.cost,
        repeats=setting.repeats,
        results=results,
    )


def _of_table(table: RecordedTable, setting: Setting) -> _Game:
    """Prepare a simulation with the table as the space: each run once, in the same order for every rule."""
    metric = setting.metric or next((name for name in METRICS if name in table.curves), METRICS[0])
    _require_one_data_set(table)
    curve = table.metric(metric)
    table = table.of_metric(metric)
    epochs = setting.epochs or table.usual_epochs
    table = table.of_epochs(epochs)
    goal = "minimize" if metric.endswith(("loss", "error")) else "maximize"
    workers = setting.workers or WORKERS
    playback = Playback(table, metric, by_number, setting.cost)
    configs, orders = stand_ins(len(table.runs), epochs), np.random.default_rng(0)
    made = [[int(number) for number in orders.permutation(len(table.runs))] for _ in range(setting.repeats)]

    spec = SweepSpec(
        name=table.name,
        space=table_space(range(len(configs)), configs),
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
    whole = [n for n, run in enumerate(table.runs) if not run.diverged]
    unit = float(np.mean([playback.cost(n, 0, epochs) for n in whole]))
    finals = table.curves[curve][whole, epochs - 1]
    sweep = _OfTable(spec, playback, made, configs)
    notes = _about(table, metric)
    return _Game(table, metric, goal, epochs, finals, unit, workers, setting.cost, sweep, None, notes)


def _require_one_data_set(table: RecordedTable) -> None:
    """Refuse a table with several data sets, as their values cannot be compared."""
    name = "data.name" if any("data.name" in run.params for run in table.runs) else "dataset"
    found = sorted({str(run.params.get(name)) for run in table.runs})
    if len(found) > 1:
        raise UsageError(
            f"the runs of {table.name} are on {', '.join(found)}, which cannot be compared; choose with "
            f"--where {name}={found[0]}, or give FILE."
        )


def _of_file(table: RecordedTable, spec: SweepSpec, setting: Setting) -> _Game:
    if spec.search.repeats > 1:
        raise UsageError(
            f"search.repeats must be 1 to be simulated, got {spec.search.repeats}: a table does not have every seed of "
            f"its configurations, and the stopping rule only judges the first; add --set search.repeats=1."
        )
    table = table.of_metric(spec.metric)
    runs = Runs(table)
    looked = looked_up(playable(spec.space, runs), runs)
    space, found, epochs_of = looked.space, looked.coverage, looked.epochs
    workers = setting.workers or spec.resources.max_concurrent or WORKERS
    notes = _about(table, spec.metric) + _notes(spec, found, setting)
    budget = spec.budget if setting.cost == "seconds" else Budget(trials=spec.budget.trials)
    resources = spec.resources.model_copy(update={"max_concurrent": workers, "max_trial_hours": None})

    sweep = _OfFile(replace(spec, space=space, resources=resources, budget=budget), table, runs, setting.cost)
    _, playback = sweep(0)
    whole = [number for number in epochs_of if not table.runs[number].diverged]
    if not whole:
        raise UsageError(f"every run of {table.name} in the space of {spec.name} diverged, so there is no best run.")
    finals = np.array([playback.value(number, epochs_of[number]) for number in whole])
    unit = float(np.mean([playback.cost(number, 0, epochs_of[number]) for number in whole]))
    epochs = max(epochs_of.values())
    return _Game(table, spec.metric, spec.goal, epochs, finals, unit, workers, setting.cost, sweep, found, notes)


def _about(table: RecordedTable, asked: str) -> list[str]:
    """Return notes on a table and a metric."""
    diverged = sum(run.diverged for run in table.runs)
    ended = [f"{plural(diverged, 'run')} diverged: its values do not count, but its cost does"] if diverged else []
    return [*table.notes, *ended, *_stand_in(asked, table.metric(asked))]


def _stand_in(asked: str, played: str) -> list[str]:
    return [] if asked == played else [f"the recorded {played} is used for {asked}"]


def _notes(spec: SweepSpec, found: Coverage, setting: Setting) -> list[str]:
    notes = []
    if isinstance(spec.search, Grid):
        notes.append("a grid has the same order in every repeat; only the choice among several equal runs differs")
    for path, values in found.nearest.items():
        notes.append(f"{path}: the nearest recorded value is used, of {', '.join(f'{value:g}' for value in values)}")
    hours = [unit for unit in ("gpu_hours", "cpu_hours", "wall_hours") if getattr(spec.budget, unit) is not None]
    if hours and setting.cost != "seconds":
        named = ", ".join(f"budget.{unit}" for unit in hours)
        notes.append(f"{named} does not apply, as an epoch costs one unit here; --cost seconds applies it")
    return notes


def _results(
    game: _Game, rules: Sequence[NamedRule], setting: Setting, say: Callable[[str], None], processes: int
) -> list[Result]:
    """Simulate all rules, and return the results by rule and budget."""
    say(f"simulating {', '.join(rule.name for rule in rules)}: {plural(setting.repeats, 'time')} each ...")
    items = [(rule, repeat) for rule in rules for repeat in range(setting.repeats)]
    told = time.monotonic()

    def tell(done: int) -> None:
        nonlocal told
        if done < len(items) and time.monotonic() - told > TELL_S:
            told = time.monotonic()
            say(f"simulated {done} of {plural(len(items), 'sweep')} ...")

    rows = spread(partial(_row, game, setting.budgets), items, processes if setting.repeats > 1 else 1, tell)
    found = []
    for number, rule in enumerate(rules):
        of_rule = rows[number * setting.repeats : (number + 1) * setting.repeats]
        for place, budget in enumerate(setting.budgets):
            regret, cost, started, complete = zip(*(row[place] for row in of_rule), strict=True)
            means = float(np.mean(started)), float(np.mean(complete))
            found.append(Result(rule.name, budget, mean_of(regret), mean_of(cost), *means, regret))
    return found


def _row(game: _Game, budgets: Sequence[float], item: tuple[NamedRule, int]) -> list[tuple[float, float, int, int]]:
    """Simulate one repeat of a rule; return regret, cost in full trials, started and complete trials by budget."""
    rule, repeat = item
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
    """Return the regret of a search; without a complete trial it counts as having found the worst run."""
    sign = 1 if game.goal == "maximize" else -1
    finals = sign * game.finals
    lost = float(finals.max() - (finals.min() if value is None else sign * value))
    return 100 * lost if game.metric.endswith("accuracy") else lost


def budgets_of(text: str) -> tuple[float, ...]:
    """Return the budgets that a user lists, separated by commas, in ascending order.

    Raises:
        UsageError: If one is not a number above 0.
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
