"""The value of the rule `auto` at equal cost: `python -m benchmarks.stopping [--repeats 2000] [--tables 200]`.

Protocol (a) has a prior from the recorded sweeps except the scored one; (b) has no prior.

Recorded runs (`../shared/paper`, if available): four tables of accuracy and loss at each epoch, one per model and data
set. Trials are drawn without replacement in random order, and four run at a time. An epoch costs one unit, and a search
may spend the epochs of 8, 16 or 32 complete trials. Regret is the table's best final value minus the best of the
complete trials. Every rule gets the same orders, so differences are paired; `<` is the upper 95% limit of their mean.
Then come families of synthetic tables, one order per table, in standard deviations of the final values.
"""

import argparse
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice, product
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from benchmarks.families import FAMILIES, Table, with_loss
from tune_jobs.search.pruners.curves import AutoRule
from tune_jobs.search.pruners.prior import RecordedSweep, recorded_sweeps

Floats = npt.NDArray[np.float64]
PAPER = Path(__file__).resolve().parents[2] / "shared" / "paper"
EPOCHS, WORKERS, BUDGETS = 100, 4, (8, 16, 32)
ASHA = ((1, 3), (3, 3), (10, 3), (30, 3), (10, 2))
PRIORS: tuple[Literal["recorded", "none"], ...] = ("recorded", "none")
ORDER_SEED, FIRST_SEED = 20261130, 1000
"""Seeds of the orders and of the first table of each family. No choice was based on these."""
Course = list[tuple[int, float]]


class Rule(Protocol):
    """The interface of a rule for the loop."""

    def observe(self, trial: int, epoch: int, value: float, loss: float | None = None) -> bool:
        """Return whether to stop."""

    def ended(self, trial: int, state: Literal["complete", "stopped", "failed"]) -> None:
        """Receive the end of a trial."""


class Asha:
    """Asynchronous successive halving: at each rung, stop trials below the best 1/factor so far."""

    def __init__(self, grace: int, factor: int) -> None:
        """Create the rungs, starting at the grace period."""
        self._factor = factor
        self._rungs: dict[int, list[float]] = {}
        while grace < EPOCHS:
            self._rungs[grace] = []
            grace *= factor

    def observe(self, trial: int, epoch: int, value: float, loss: float | None = None) -> bool:
        """Return whether to stop."""
        del trial, loss
        rung = self._rungs.get(epoch)
        if rung is None:
            return False
        rung.append(value)
        return value < sorted(rung, reverse=True)[max(1, len(rung) // self._factor) - 1]

    def ended(self, trial: int, state: Literal["complete", "stopped", "failed"]) -> None:
        """Ignore the end of a trial."""


def course(
    table: Table,
    order: Iterable[int],
    rule: Rule,
    stops: list[tuple[int, int]] | None = None,
    most: int = max(BUDGETS) * EPOCHS,
) -> Course:
    """Return (cost, best final value so far) at the end of every complete trial; larger is better.

    `stops` collects the run and the epoch of every stopped trial. The search ends after `most` epochs in total.
    """
    waiting, cost, best = iter(enumerate(order)), 0, -np.inf
    sign = 1 if table.maximize else -1
    running = list(islice(waiting, WORKERS))
    epochs = [0] * WORKERS
    found: Course = []
    while running and cost < most:
        going: list[tuple[tuple[int, int], int]] = []
        ended = 0
        for (number, trial), known in zip(running, epochs, strict=True):
            if cost >= most:
                break
            epoch, cost = known + 1, cost + 1
            value = float(table.values[trial, epoch - 1])
            loss = None if table.losses is None else float(table.losses[trial, epoch - 1])
            stopped = rule.observe(number, epoch, value, loss) and epoch < EPOCHS
            if epoch == EPOCHS:
                best = max(best, sign * value) if np.isfinite(value) else best
                found.append((cost, best))
            if stopped and stops is not None:
                stops.append((trial, epoch))
            if epoch == EPOCHS or stopped:
                rule.ended(number, "stopped" if stopped else "complete")
                ended += 1
            else:
                going.append(((number, trial), epoch))
        going += [(new, 0) for new in islice(waiting, ended)]  # appended last, as in a sweep
        running, epochs = [each for each, _ in going], [epoch for _, epoch in going]
    return found


def finals(table: Table) -> Floats:
    """Return the final values, larger is better, with the worst one in place of NaN."""
    last = table.values[:, EPOCHS - 1] * (1 if table.maximize else -1)
    return np.where(np.isfinite(last), last, last[np.isfinite(last)].min())


def regrets(table: Table, order: Iterable[int], rule: Rule) -> list[float]:
    """Return the regret at each budget."""
    ends, found = finals(table), course(table, order, rule)
    reached = [max((b for c, b in found if c <= budget * EPOCHS), default=ends.min()) for budget in BUDGETS]
    return [float(ends.max() - max(best, ends.min())) for best in reached]


def never(table: Table, order: list[int], budgets: Iterable[int] = BUDGETS) -> list[float]:
    """Return the regret without stopping; the budget is a number of trials, because it is a multiple of the workers."""
    ends = finals(table)
    return [float(ends.max() - ends[order[:budget]].max()) for budget in budgets]


def recorded() -> Iterator[tuple[str, Table]]:
    """Yield one table per model and data set: published runs without a known bug, with at least 100 epochs."""
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
    """Return the mean difference and its upper 95% limit."""
    upper = differences.mean() + 1.96 * differences.std(ddof=1) / np.sqrt(len(differences))
    return f"{differences.mean():+.3f} < {upper:+.3f}"


def measured(
    table: Table, orders: list[list[int]], others: tuple[RecordedSweep, ...], pairs: Sequence[tuple[int, int]]
) -> dict[str, Floats]:
    """Return regrets by rule, (orders, budgets); `others` is the prior of `auto, prior`."""
    rules: dict[str, Callable[[], Rule]] = {
        f"asha {grace}/{factor}": partial(Asha, grace, factor) for grace, factor in pairs
    }
    rules["auto, prior"] = partial(AutoRule, EPOCHS, maximize=True, prior=others)
    rules["auto, no prior"] = partial(AutoRule, EPOCHS, maximize=True)
    found = {"never": np.array([never(table, order) for order in orders])}
    for name, make in rules.items():
        found[name] = np.array([regrets(table, order, make()) for order in orders])
    return found


def regret_row(name: str, rule: str, found: Floats) -> str:
    """Return a row with a rule's regret at each budget and half the width of its 95% interval."""
    half = 1.96 * found.std(axis=0, ddof=1) / np.sqrt(len(found))
    cells = (f"{mean:.2f} ± {each:.2f}" for mean, each in zip(found.mean(axis=0), half, strict=True))
    return f"| {name} | {rule} | {' | '.join(cells)} |"


def bound_rows(name: str, found: Mapping[str, Floats]) -> Iterator[str]:
    """Yield, by protocol and budget, the regret of `auto` minus that of `never`, and minus that of the best ASHA."""
    halving = [rule for rule in found if rule.startswith("asha")]
    for rule, (at, budget) in product(("auto, prior", "auto, no prior"), enumerate(BUDGETS)):
        best = min(halving, key=lambda each: float(found[each][:, at].mean()))
        to_never, to_asha = ((found[rule] - found[other])[:, at] for other in ("never", best))
        yield f"| {name} | {rule} | {budget} | {interval(to_never)} | {interval(to_asha)} ({best}) |"


def print_recorded(repeats: int, tables: Iterable[tuple[str, str, Table]], pairs: Sequence[tuple[int, int]]) -> None:
    """Print both protocols; each table comes with its name and the name of the sweep that its prior excludes."""
    print(f"\n## Recorded tables: {repeats} paired orders each (seed {ORDER_SEED})\n")
    print("| table | rule | " + " | ".join(f"regret at {budget}" for budget in BUDGETS) + " |\n" + "|---" * 5 + "|")
    bounds: list[str] = []
    for name, own_name, table in tables:
        rng = np.random.default_rng(ORDER_SEED)
        orders = [rng.permutation(len(table.values)).tolist() for _ in range(repeats)]
        others = tuple(sweep for sweep in recorded_sweeps() if sweep.name != own_name)
        found = measured(table, orders, others, pairs)
        print("\n".join(regret_row(name, rule, found[rule]) for rule in found), flush=True)
        bounds += bound_rows(name, found)
    print("\n| table | rule | budget | auto - never | auto - best ASHA |\n" + "|---" * 5 + "|")
    print("\n".join(bounds), flush=True)


def print_families(tables: int, families: Mapping[str, Callable[[int], Table]]) -> None:
    """Print each family with all recorded sweeps as the prior (which needs a loss), and without a prior."""
    seeds = range(FIRST_SEED, FIRST_SEED + tables)
    print(f"\n## Families: {tables} tables each (seeds {seeds[0]} to {seeds[-1]}), in sd of the final values\n")
    print(
        "| family | prior | 8 | 16 | 32 | 8 to never at 16 | 16 to never at 32 | 32 to never at 64 |\n"
        + "|---" * 8
        + "|"
    )
    for (name, make), prior in product(families.items(), (recorded_sweeps(), ())):
        rows = []
        for seed in seeds:
            table = with_loss(make(seed)) if prior else make(seed)
            order = list(range(len(table.values)))
            own = np.array(regrets(table, order, AutoRule(EPOCHS, maximize=table.maximize, prior=prior)))
            base = np.array(never(table, order, (8, 16, 32, 64)))
            rows.append(np.concatenate([own - base[:3], own - base[1:]]) / finals(table).std())
        word = "recorded" if prior else "none"
        print(f"| {name} | {word} | " + " | ".join(interval(each) for each in np.array(rows).T) + " |", flush=True)


def print_equal(repeats: int) -> None:
    """Print in how many orders this loop has the same stops as `convnn simulate`, at the same epochs and in order."""
    from benchmarks.played import loop_stops, simulated_stops
    from tune_jobs.results.recorded.published import published

    for data, prior in product(("cifar10", "cifar100"), PRIORS):
        table = published().where([f"data.name={data}", "model.name=vgg11"])
        count = stopped = 0
        for repeat in range(repeats):
            order, stops = simulated_stops(table, repeat, prior, max(BUDGETS) * EPOCHS)
            count += stops == loop_stops(table, order, prior, max(BUDGETS) * EPOCHS)
            stopped += len(stops)
        print(f"Same stops as convnn simulate, vgg {data}, prior {prior}: {count} of {repeats} ({stopped} stops)")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description="The value of the stopping rule auto.")
    parser.add_argument("--repeats", type=int, default=2000, help="paired orders of each recorded table")
    parser.add_argument("--tables", type=int, default=200, help="tables of each family")
    parser.add_argument("--equal", type=int, default=50, help="orders to compare with convnn simulate")
    parser.add_argument("--only", default="", help="recorded tables whose names contain this")
    given = parser.parse_args()
    print(f"Python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}")
    if given.equal:
        print_equal(given.equal)
    if given.tables:
        print_families(given.tables, FAMILIES)
    if given.repeats and PAPER.exists():
        print_recorded(given.repeats, [(name, name, table) for name, table in recorded() if given.only in name], ASHA)
    elif given.repeats:
        print(f"\nNo recorded runs found at {PAPER.resolve()}; that table is skipped.")


if __name__ == "__main__":
    main()
