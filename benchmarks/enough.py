"""Check the guarantee of `stopping.enough` and its savings: `python -m benchmarks.enough [--orders N] [--played N]`.

A sweep of N trials is searched completely. Then the benchmark determines where `stopping.enough` would have ended it.
*Missed* is the best of the whole search minus the best of the trials started before that point. The guarantee: at most
a fraction 1 - `confidence` of the sweeps miss more than `within`. Each cell shows the fraction of saved trials, the
fraction of sweeps that missed more than `within` with its upper 95% limit (Wilson), and the mean missed amount. A `!`
marks a limit above the allowed fraction.

Recorded tables: the published runs in the package with at least 100 epochs, drawn without replacement in random order.
Families: `benchmarks/families.py`, with `within` in standard deviations of the final values. Stopping rules: simulated
by the driver's own controller on recorded tables, four trials at a time. Samplers: run with a sweep file on recorded
tables, and on synthetic objectives (`benchmarks/objectives.py`).
"""

import argparse
import bisect
import itertools
import math
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.families import FAMILIES, Table
from benchmarks.objectives import OBJECTIVES, searched
from benchmarks.stopping import finals
from search_spaces import SweepSpec, parse_sweep
from search_spaces.settings import Budget, Grid, Paper, Resources, Stopping, Tracking
from tune_jobs.record.memory import MemoryRecord
from tune_jobs.record.rows import ENDED
from tune_jobs.results.forecast import FEWEST, LEARNING, chance_by_near, forecast, is_enough, tried
from tune_jobs.results.recorded.matching import Runs
from tune_jobs.results.recorded.published import published
from tune_jobs.results.recorded.table import RecordedTable
from tune_jobs.simulate.one_sweep import play
from tune_jobs.simulate.playback import Playback, by_number, one_of
from tune_jobs.simulate.rules import rules_of
from tune_jobs.simulate.spaces import looked_up, playable, stand_ins, table_space

Floats = npt.NDArray[np.float64]
EPOCHS, WORKERS = 100, 4
WITHINS, CONFIDENCES = (0.2, 0.3, 0.5, 1.0), (0.8, 0.9, 0.95)


class Trial(NamedTuple):
    """A trial that has ended; trials are sorted by their end."""

    state: str
    value: float
    """The larger, the better."""

    started: int
    """The number of trials that had ended when it started."""


class Ended(NamedTuple):
    """The point at which a sweep was ended."""

    saved: float
    """Fraction of its trials that were saved."""

    missed: float


def at_once(values: Iterable[float]) -> list[Trial]:
    """Return trials that run one after the other."""
    return [Trial("complete", float(value), number) for number, value in enumerate(values)]


def ended(trials: Sequence[Trial], within: float, *, learns: bool = False) -> list[Ended]:
    """Return where a sweep would be ended, for each confidence in rising order."""
    planned, found, waiting = len(trials), list[Ended](), list(CONFIDENCES)
    good: list[float] = []
    count = 0
    for trial in trials:
        count += 1
        if trial.state == "complete" and math.isfinite(trial.value):
            bisect.insort(good, trial.value)
        if len(good) < FEWEST:
            continue
        near = len(good) - bisect.bisect_left(good, good[-1] - within - 1e-9)
        chance = chance_by_near(count * (LEARNING if learns else 1), planned - count, near)
        while waiting and is_enough(chance, waiting[0]):
            waiting.pop(0)
            found.append(_ended(trials, count))
    return found + [Ended(0.0, 0.0)] * len(waiting)


def _ended(trials: Sequence[Trial], count: int) -> Ended:
    whole = [trial for trial in trials if trial.state == "complete" and math.isfinite(trial.value)]
    begun = [trial.value for trial in whole if trial.started < count]
    left = sum(trial.started >= count for trial in trials) / len(trials)
    return Ended(left, max(trial.value for trial in whole) - max(begun))


def upper_limit(share: float, count: int, z: float = 1.645) -> float:
    """Return the one-sided 95% upper limit of a fraction (Wilson 1927)."""
    middle = share + z * z / (2 * count)
    return (middle + z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))) / (1 + z * z / count)


class Printed:
    """Print a table, and count the cells whose limit is above the allowed value."""

    def __init__(self, title: str) -> None:
        heads = " | ".join(f"{confidence:g}: saved, missed, mean" for confidence in CONFIDENCES)
        print(f"\n## {title}\n\n| sweeps | trials | within | {heads} |\n|---|---|---|" + "---|" * len(CONFIDENCES))
        self.cells = self.over = 0

    def row(self, name: str, sweeps: Sequence[Sequence[Trial]], within: float, *, learns: bool = False) -> None:
        """Print the row of one margin, at every confidence."""
        found = [ended(trials, within, learns=learns) for trials in sweeps]
        cells = []
        for place, confidence in enumerate(CONFIDENCES):
            missed = np.array([each[place].missed for each in found])
            share = float((missed > within + 1e-9).mean())
            limit = upper_limit(share, len(found))
            above = limit > 1 - confidence + 1e-9
            self.cells, self.over = self.cells + 1, self.over + above
            saved = float(np.mean([each[place].saved for each in found]))
            cells.append(f"{saved:.0%}, {share:.1%} < {limit:.1%}{' !' if above else ''}, {missed.mean():.2f}")
        trials = round(float(np.mean([len(each) for each in sweeps])))
        print(f"| {name} | {trials} | {within:g} | {' | '.join(cells)} |", flush=True)

    def end(self) -> None:
        """Print the number of cells above the allowed value."""
        print(f"\n{self.over} of {self.cells} limits are above 1 - confidence.", flush=True)


def tables() -> Iterator[tuple[str, RecordedTable]]:
    """Yield one table per model and data set, with runs of at least EPOCHS epochs."""
    for model, data in itertools.product(("VGG", "VIT"), ("cifar10", "cifar100")):
        whole = published().where([f"data.name={data}"])
        kept = ["vgg" in str(run.params["model.name"]).lower() for run in whole.runs]
        yield f"{model} {data}", whole.keep([each == (model == "VGG") for each in kept]).of_epochs(EPOCHS)


def points(table: RecordedTable) -> Floats:
    """Return the final accuracies, in percentage points."""
    last: Floats = 100 * table.curves["test/accuracy"][:, EPOCHS - 1]
    return last


def print_recorded(orders: int) -> None:
    """Print results without a stopping rule: final values in random order."""
    out = Printed(f"Recorded tables, no stopping rule: {orders} orders (seed 0), points of accuracy")
    for name, table in tables():
        for trials in sorted({64, len(table.runs)}):
            rng = np.random.default_rng(0)
            sweeps = [at_once(rng.permutation(points(table))[:trials]) for _ in range(orders)]
            for within in WITHINS:
                out.row(name, sweeps, within)
    out.end()


def print_families(seeds: int) -> None:
    """Print results on synthetic tables, one sweep per table."""
    out = Printed(f"Families: {seeds} tables each (seeds 0 to {seeds - 1}), in sd of the final values")
    for name, make in FAMILIES.items():
        made = [finals(make(seed)) for seed in range(seeds)]
        for trials in (64, 400):
            sweeps = [at_once(each[:trials] / each.std()) for each in made]
            for within in WITHINS:
                out.row(name, sweeps, within)
    out.end()


def played(spec: SweepSpec, playback: Playback) -> list[Trial]:
    """Simulate a sweep with the driver's controller; return its trials in the order of their ends."""
    record = MemoryRecord()
    play(spec, playback, workers=WORKERS, record=record)
    begun = {ask.run_key: ask.seq for ask in record.asks() if ask.outcome == "new"}
    last: dict[str, float] = {}
    for epoch in record.epochs():
        last[epoch.run_key] = epoch.metrics[spec.metric]
    ends = sorted((trial for trial in record.trials() if trial.state in ENDED), key=lambda trial: trial.ended_seq or 0)
    seqs = [trial.ended_seq or 0 for trial in ends]
    return [
        Trial(trial.state, 100 * last.get(trial.run_key, math.nan), bisect.bisect_left(seqs, begun[trial.run_key]))
        for trial in ends
    ]


def print_rules(orders: int, trials: int = 64) -> None:
    """Print results with stopping rules, which apply to all trials alike."""
    out = Printed(f"Recorded tables with stopping rules: {orders} orders of {trials} trials, four at a time")
    for name, table in tables():
        playback = Playback(table, "val/accuracy", by_number)
        configs, drawn = stand_ins(len(table.runs), EPOCHS), np.random.default_rng(0)
        made = [[int(n) for n in drawn.permutation(len(table.runs))[:trials]] for _ in range(orders)]
        for rule in rules_of("asha:10/3,median:10,auto", EPOCHS):
            sweeps = [played(_of_order(table_space(order, configs), rule.stopping), playback) for order in made]
            for within in WITHINS:
                out.row(f"{name}, {rule.name}", sweeps, within)
    out.end()


def _of_order(space: object, stopping: Stopping) -> SweepSpec:
    return SweepSpec(
        name="played",
        space=space,  # type: ignore[arg-type]
        evaluation=Paper(protocol="paper"),
        metric="val/accuracy",
        goal="maximize",
        search=Grid(),
        stopping=stopping,
        resources=Resources(max_concurrent=WORKERS),
        budget=Budget(),
        tracking=Tracking(),
        text="",
    )


SPACE = """
name: tpe
space:
  data: {name: %s}
  model:
    name: vgg11
    layer:
      any_of:
        - {kind: conv2d, kernel_size: {choice: [1, 2, 3]}}
        - kind: hybrid
          lambda: {choice: [0.5, 1.0]}
          kernel_size: {choice: [1, 2, 3]}
          k: {int: [1, 12]}
          similarity: {choice: [cosine, euclidean]}
          candidates: {kind: all}
  training: {lr: {choice: [1.0e-5, 5.0e-5, 1.0e-4, 5.0e-4, 1.0e-3]}, epochs: 1}
evaluation: {protocol: paper}
search: {sampler: %s, trials: 64, seed: %d}
resources: {max_concurrent: 4}
"""
"""The published runs cover 202 of its 735 points."""


def last_epochs(table: RecordedTable) -> RecordedTable:
    """Return the runs with only their last epoch, so that the sampler receives the final values."""
    curves = {name: curve[:, EPOCHS - 1 : EPOCHS] for name, curve in table.curves.items()}
    return replace(table, curves=curves, lengths=np.minimum(table.lengths, 1), seconds=None)


def print_sampled(sampler: str, repeats: int) -> None:
    """Print results of a sampler on recorded VGG-11 runs, with a sweep file, and on synthetic objectives."""
    learns = sampler == "tpe"
    out = Printed(f"sampler: {sampler}, {repeats} seeds of 64 trials; objectives in sd of random draws")
    for name, table in itertools.islice(tables(), 2):
        short = last_epochs(table)
        runs = Runs(short)
        spec = parse_sweep(SPACE % (name.split()[1], sampler, 0))
        space = looked_up(playable(spec.space, runs), runs).space
        sweeps = []
        for seed in range(repeats):
            one = replace(parse_sweep(SPACE % (name.split()[1], sampler, seed)), space=space)
            sweeps.append(played(one, Playback(short, one.metric, one_of(runs, seed))))
        for within in WITHINS:
            out.row(name, sweeps, within, learns=learns)
    for name, make in OBJECTIVES.items():
        sweeps = [at_once(searched(sampler, seed, make(seed))) for seed in range(repeats)]
        for within in (0.02, 0.1, 0.3, 1.0):
            out.row(name, sweeps, within, learns=learns)
    out.end()


def _shuffled(values: Floats, seed: int) -> Floats:
    order: Floats = np.random.default_rng(seed).permutation(values)
    return order


def _in_sd(make: Callable[[int], Table], seed: int) -> Floats:
    ends = finals(make(seed))
    scaled: Floats = ends / ends.std()
    return scaled


def print_forecasts(orders: int) -> None:
    """Print how often ten more trials improved by more than the forecast's upper limit."""
    print("\n## Ten more trials: how often they improved by more than the 90% limit, and its mean in points or sd\n")
    print("| final values | " + " | ".join(f"after {n}" for n in (10, 16, 32, 64)) + " |\n|---|" + "---|" * 4)
    drawn: dict[str, Callable[[int], Floats]] = {}
    drawn |= {name: partial(_shuffled, points(table)) for name, table in tables()}
    drawn |= {name: partial(_in_sd, make) for name, make in FAMILIES.items()}
    for name, draw in drawn.items():
        cells = []
        sweeps = [draw(seed) for seed in range(orders if name[:3] in ("VGG", "VIT") else min(orders, 200))]
        for count in (10, 16, 32, 64):
            limits, gains = [], []
            for order in sweeps:
                # scaled to be far from the bounds of an accuracy, 0 and 1
                found = tried((("complete", value / 1000) for value in order[:count]), maximize=True, learns=False)
                likely = forecast(found, 10)
                assert likely is not None
                limits.append(1000 * likely.most)
                gains.append(max(0.0, float(order[count : count + 10].max() - order[:count].max())))
            over = float((np.array(gains) > np.array(limits) + 1e-9).mean())
            cells.append(f"{over:.1%}, {np.mean(limits):.2f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description="Check the guarantee of stopping.enough.")
    parser.add_argument("--orders", type=int, default=1000, help="orders of each recorded table")
    parser.add_argument("--played", type=int, default=200, help="sweeps of each simulated rule, sampler and family")
    parser.add_argument("--parts", default="recorded,families,forecasts,rules,random,tpe", help="the parts to run")
    given = parser.parse_args()
    print(f"Python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}")
    parts: dict[str, Callable[[], None]] = {
        "recorded": lambda: print_recorded(given.orders),
        "families": lambda: print_families(given.played),
        "forecasts": lambda: print_forecasts(given.orders),
        "rules": lambda: print_rules(given.played),
        "random": lambda: print_sampled("random", given.played),
        "tpe": lambda: print_sampled("tpe", given.played),
    }
    for part in given.parts.split(","):
        parts[part]()


if __name__ == "__main__":
    main()
