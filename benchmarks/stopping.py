"""What the rule `auto` is worth at equal cost: `python -m benchmarks.stopping [--repeats 2000] [--tables 200]`.

Recorded runs (`../shared/paper`, where it is there): four tables of accuracy and loss by epoch, one for each model
and data set. Trials are drawn without replacement in random order, four run at a time, an epoch costs one unit, and a
search may spend 8, 16 or 32 whole trials' worth of epochs. Regret: the table's best final value minus the best of the
trials that ran to the end. The same orders for every rule, so that differences are paired; `<` is the upper 95% limit
of their mean. Then families of made-up tables, one order a table, in standard deviations of the finals.
"""

import argparse
import platform
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from benchmarks.families import FAMILIES, Table
from tune_jobs.search.pruners.curves import AutoRule

Floats = npt.NDArray[np.float64]
PAPER = Path(__file__).resolve().parents[2] / "shared" / "paper"
EPOCHS, WORKERS, BUDGETS = 100, 4, (8, 16, 32)
ASHA = ((1, 3), (3, 3), (10, 3), (30, 3), (10, 2))
Course = list[tuple[int, float]]


class Rule(Protocol):
    """What the loop asks of a rule."""

    def observe(self, trial: int, epoch: int, value: float, loss: float | None = None) -> bool:
        """Whether to stop."""

    def ended(self, trial: int, state: Literal["complete", "stopped", "failed"]) -> None:
        """Note an end."""


class Asha:
    """Asynchronous successive halving: at each rung, below the best 1/factor of those that were there."""

    def __init__(self, grace: int, factor: int) -> None:
        """Rungs from a grace period on."""
        self._factor = factor
        self._rungs: dict[int, list[float]] = {}
        while grace < EPOCHS:
            self._rungs[grace] = []
            grace *= factor

    def observe(self, trial: int, epoch: int, value: float, loss: float | None = None) -> bool:
        """Whether to stop."""
        del trial, loss
        rung = self._rungs.get(epoch)
        if rung is None:
            return False
        rung.append(value)
        return value < sorted(rung, reverse=True)[max(1, len(rung) // self._factor) - 1]

    def ended(self, trial: int, state: Literal["complete", "stopped", "failed"]) -> None:
        """Nothing to note."""


def course(table: Table, order: Iterable[int], rule: Rule) -> Course:
    """(cost, best final value so far) at the end of every trial that ran in full, more being better."""
    waiting, cost, best = iter(enumerate(order)), 0, -np.inf
    sign = 1 if table.maximize else -1
    running: list[tuple[int, int, int] | None] = [(*next(waiting), 0) for _ in range(WORKERS)]
    found: Course = []
    while any(running) and cost < max(BUDGETS) * EPOCHS:
        for worker, slot in enumerate(running):
            if slot is None or cost >= max(BUDGETS) * EPOCHS:
                continue
            number, trial, epoch = slot
            epoch, cost = epoch + 1, cost + 1
            value = float(table.values[trial, epoch - 1])
            loss = None if table.losses is None else float(table.losses[trial, epoch - 1])
            stopped = rule.observe(number, epoch, value, loss) and epoch < EPOCHS
            if epoch == EPOCHS:
                best = max(best, sign * value) if np.isfinite(value) else best
                found.append((cost, best))
            if epoch == EPOCHS or stopped:
                rule.ended(number, "stopped" if stopped else "complete")
                new = next(waiting, None)
                running[worker] = None if new is None else (*new, 0)
            else:
                running[worker] = (number, trial, epoch)
    return found


def finals(table: Table) -> Floats:
    """More being better; the worst where there is no number."""
    last = table.values[:, EPOCHS - 1] * (1 if table.maximize else -1)
    return np.where(np.isfinite(last), last, last[np.isfinite(last)].min())


def regrets(table: Table, order: Iterable[int], rule: Rule) -> list[float]:
    """At each budget."""
    ends, found = finals(table), course(table, order, rule)
    reached = [max((b for c, b in found if c <= budget * EPOCHS), default=ends.min()) for budget in BUDGETS]
    return [float(ends.max() - max(best, ends.min())) for best in reached]


def never(table: Table, order: list[int], budgets: Iterable[int] = BUDGETS) -> list[float]:
    """Regret without stopping: a budget is so many trials, as it is a multiple of the workers."""
    ends = finals(table)
    return [float(ends.max() - ends[order[:budget]].max()) for budget in budgets]


def recorded() -> Iterator[tuple[str, Table]]:
    """One table for each model and data set: published runs without a known bug, of at least 100 epochs."""
    import pandas as pd

    runs = pd.read_parquet(PAPER / "runs.parquet")
    runs = runs[runs.code_note.isna() & (runs.n_epochs >= EPOCHS)]
    curves = pd.read_parquet(PAPER / "curves.parquet")
    for (model, data), group in runs.groupby(["repo", "dataset"]):
        own = curves[curves.run_id.isin(group.run_id)].sort_values(["run_id", "epoch"])
        parts = [part for _, part in own.groupby("run_id")]
        values, losses = (
            np.stack([part[column].to_numpy()[:EPOCHS] for part in parts]).astype(np.float64)
            for column in ("test_top1", "test_loss")
        )
        yield f"{model} {data}", Table(values, losses)


def interval(differences: Floats) -> str:
    """Mean difference and its upper 95% limit."""
    upper = differences.mean() + 1.96 * differences.std(ddof=1) / np.sqrt(len(differences))
    return f"{differences.mean():+.3f} < {upper:+.3f}"


def print_recorded(repeats: int) -> None:
    """Protocol (b), no prior, and what it makes of the bounds of (a)."""
    print(f"\n## Recorded tables, no prior: {repeats} paired orders (seed 0)\n")
    print(
        "| table | budget | never | best ASHA | auto | auto - never | auto - best ASHA |\n|---|---|---|---|---|---|---|"
    )
    for name, table in recorded():
        rng = np.random.default_rng(0)
        orders = [rng.permutation(len(table.values)).tolist() for _ in range(repeats)]
        base = np.array([never(table, order) for order in orders])
        auto = np.array([regrets(table, order, AutoRule(EPOCHS, maximize=True)) for order in orders])
        halving = {pair: np.array([regrets(table, order, Asha(*pair)) for order in orders]) for pair in ASHA}
        for at, budget in enumerate(BUDGETS):
            best = min(halving, key=lambda pair: float(halving[pair][:, at].mean()))
            own, asha = auto[:, at], halving[best][:, at]
            print(
                f"| {name} | {budget} | {base[:, at].mean():.2f} | {asha.mean():.2f} ({best[0]}/{best[1]}) | "
                f"{own.mean():.2f} | {interval(own - base[:, at])} | {interval(own - asha)} |",
                flush=True,
            )


def print_families(tables: int) -> None:
    """Each family, against no stopping at the same cost and at twice the cost."""
    print(f"\n## Families: {tables} tables each (seeds 0 to {tables - 1}), in sd of the finals\n")
    print("| family | 8 | 16 | 32 | 16 against never at 32 | 32 against never at 64 |\n|---|---|---|---|---|---|")
    for name, make in FAMILIES.items():
        rows = []
        for seed in range(tables):
            table = make(seed)
            order = list(range(len(table.values)))
            own = np.array(regrets(table, order, AutoRule(EPOCHS, maximize=table.maximize)))
            base = np.array(never(table, order, (8, 16, 32, 64)))
            rows.append(np.concatenate([own - base[:3], own[1:] - base[2:]]) / finals(table).std())
        print(f"| {name} | " + " | ".join(interval(column) for column in np.array(rows).T) + " |", flush=True)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description="What the stopping rule auto is worth.")
    parser.add_argument("--repeats", type=int, default=2000, help="paired orders of each recorded table")
    parser.add_argument("--tables", type=int, default=200, help="tables of each family")
    given = parser.parse_args()
    print(f"Python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}")
    if given.tables:
        print_families(given.tables)
    if given.repeats and PAPER.exists():
        print_recorded(given.repeats)
    elif given.repeats:
        print(f"\nNo recorded runs at {PAPER.resolve()}: that table is left out.")


if __name__ == "__main__":
    main()
