"""Coverage of the interval of a sweep's risk: `python -m benchmarks.risk [--sweeps 50] [--trials 100]`.

Sweeps with the rule `auto`, four trials at a time, run on the packaged published runs (one table per model and data
set, 100 epochs, a new random order each time) and on synthetic families. The function behind `convnn status` computes
the interval from the sweep's record, at half of the trials and at the end. The true risk is known here, because the
table has the last epochs of stopped trials: the fraction of them that fewer than three complete trials of the sweep
beat.
"""

import argparse
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from benchmarks.families import FAMILIES, Table
from search_spaces import parse_sweep
from tune_jobs.record.rows import BY_THE_RULE, Epoch, Trial
from tune_jobs.search.pruners.over_sweep import OverSweep
from tune_jobs.search.risk import BEST, CONFIDENCE, METHOD, Risk, risk_of
from tune_jobs.simulate.spaces import stand_ins

EPOCHS, WORKERS, METRIC = 100, 4, "val/accuracy"
SPEC = parse_sweep(f"""
name: risk
space: {{model: {{layer: {{kind: conv2d}}}}, training: {{epochs: {EPOCHS}, lr: {{log_uniform: [1.0e-5, 1.0e-3]}}}}}}
objective: {{metric: {METRIC}}}
search: {{sampler: random, trials: 1000}}
stopping: {{kind: auto}}
""")
_CONFIG = stand_ins(1, EPOCHS)[0]
Draw = Callable[[int], tuple[Table, list[int]]]
"""Returns a table and an order of its trials for a sweep's number."""


@dataclass
class Record:
    """The record of a sweep; a trial's run key is its position in the order."""

    trials: list[Trial] = field(default_factory=list)
    epochs: list[Epoch] = field(default_factory=list)

    def until(self, ended: int) -> "Record":
        """Return the record at the time when `ended` trials had ended, without trials that were still running."""
        trials = sorted(self.trials, key=lambda trial: trial.ended_seq or 0)[:ended]
        keys, last = {trial.run_key for trial in trials}, max(trial.ended_seq or 0 for trial in trials)
        return Record(trials, [epoch for epoch in self.epochs if epoch.run_key in keys and epoch.seq < last])


def sweep(table: Table, order: list[int]) -> Record:
    """Run these trials in this order with the rule."""
    rule, found, seq = OverSweep(maximize=table.maximize), Record(), 0
    waiting = iter(enumerate(order))
    running = [[place, trial, 0] for _, (place, trial) in zip(range(WORKERS), waiting, strict=False)]
    while running:
        for slot in list(running):
            place, trial, epoch = slot[0], slot[1], slot[2] + 1
            slot[2], seq, value = epoch, seq + 1, float(table.values[trial, epoch - 1])
            stopped = False
            if np.isfinite(value):
                found.epochs.append(Epoch(seq, str(place), 1, epoch, 0.0, {METRIC: value}))
                stopped = rule.observe(str(place), epoch, value) and epoch < EPOCHS
                if epoch < EPOCHS and not stopped:
                    continue
            state = "stopped" if stopped else "complete" if np.isfinite(value) else "diverged"
            seq += 1
            reason = BY_THE_RULE if stopped else None
            found.trials.append(Trial(str(place), place + 1, _CONFIG, state, seq, reason, 0))  # type: ignore[arg-type]
            if state == "complete" and not rule.has_begun:
                rule.begin(EPOCHS)
            running.remove(slot)
            running += [[*new, 0] for new in [next(waiting, None)] if new is not None]
    return found


def told(table: Table, record: Record) -> Risk | None:
    """Return the risk that `convnn status` reports."""
    return risk_of(
        replace(SPEC, goal="maximize" if table.maximize else "minimize"), record.trials, lambda: record.epochs
    )


def true_risk(table: Table, order: list[int], record: Record) -> float:
    """Return the fraction of stopped trials that would have been among the best."""
    finals = table.values[:, EPOCHS - 1] * (1 if table.maximize else -1)
    finals = np.where(np.isfinite(finals), finals, -np.inf)
    complete = np.array([finals[order[int(t.run_key)]] for t in record.trials if t.state == "complete"])
    stopped = [finals[order[int(trial.run_key)]] for trial in record.trials if trial.state == "stopped"]
    return float(np.mean([(complete > value).sum() < BEST for value in stopped])) if stopped else 0.0


def tables() -> Iterator[tuple[str, Draw]]:
    """Yield each recorded table, in random orders, then each family, with a new table each time."""
    from tune_jobs.results.recorded.published import published

    for model in ("vgg11", "vit_tiny"):
        for data in ("cifar10", "cifar100"):
            runs = published().where([f"model.name={model}", f"data.name={data}"]).of_epochs(EPOCHS)
            table = Table(runs.curves["test/accuracy"], None)
            yield f"{model} {data}", partial(_in_order, table)
    for name, make in FAMILIES.items():
        yield name, partial(_made, make)


def _in_order(table: Table, seed: int) -> tuple[Table, list[int]]:
    return table, [int(number) for number in np.random.default_rng(seed).permutation(len(table.values))]


def _made(make: Callable[[int], Table], seed: int) -> tuple[Table, list[int]]:
    return (table := make(seed)), list(range(len(table.values)))


@dataclass
class Count:
    """Counts over sweeps."""

    held: int = 0
    risks: list[Risk] = field(default_factory=list)
    true: list[float] = field(default_factory=list)
    not_stated: int = 0

    def add(self, risk: Risk | None, true: float) -> None:
        """Add the risk of a sweep."""
        if risk is None or risk.low is None or risk.high is None:
            self.not_stated += 1
            return
        self.risks.append(risk)
        self.true.append(true)
        self.held += risk.low <= true <= risk.high

    def __str__(self) -> str:
        if not self.risks:
            return f"0 | {self.not_stated} | - | - | - | - | -"
        controls, best = (sum(getattr(risk, name) for risk in self.risks) for name in ("controls", "among_best"))
        upper = np.mean([risk.high for risk in self.risks])
        return (
            f"{len(self.risks)} | {self.not_stated} | {controls / len(self.risks):.1f} | {best / controls:.1%} | "
            f"{np.mean(self.true):.1%} | {upper:.0%} | {self.held / len(self.risks):.0%}"
        )


def main() -> None:
    """Print a row for each table."""
    parser = argparse.ArgumentParser(description="Coverage of the interval of a sweep's risk.")
    parser.add_argument("--sweeps", type=int, default=50, help="sweeps of each table")
    parser.add_argument("--trials", type=int, default=100, help="trials of a sweep, at most those of the table")
    given = parser.parse_args()
    print(f"Python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}")
    print(f"{given.sweeps} sweeps of {given.trials} trials each; {CONFIDENCE:.0%} intervals, {METHOD}\n")
    print("| table | after | stated | not stated | controls | among best | true risk | mean upper end | covered |")
    print("|---|---|---|---|---|---|---|---|---|")
    whole = {"half": Count(), "all": Count()}
    for name, draw in tables():
        counts = {"half": Count(), "all": Count()}
        for seed in range(given.sweeps):
            table, order = draw(seed)
            order = order[: given.trials]
            record = sweep(table, order)
            for when, seen in (("half", record.until(len(order) // 2)), ("all", record)):
                risk, true = told(table, seen), true_risk(table, order, seen)
                for count in (counts[when], whole[when]):
                    count.add(risk, true)
        for when, count in counts.items():
            print(f"| {name} | {when} | {count} |", flush=True)
    for when, count in whole.items():
        print(f"| all tables | {when} | {count} |")


if __name__ == "__main__":
    main()
