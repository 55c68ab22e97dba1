"""The rule `auto` on tables that it was not tuned on: `python -m benchmarks.unseen [--repeats 300] [--tables 200]`.

First, tables that deceive the prior: they start like recorded runs, and from 40% of the epochs on they move to the ends
of other runs. The ends are random, or reversed, so that the best start gets the worst end. Then come subsets of the
recorded tables, by learning rate and by the varied setting. The prior excludes the sweep of the subset.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from benchmarks.families import EPOCHS, Table
from benchmarks.prior import packaged
from benchmarks.stopping import print_families, print_recorded

LEAST_RUNS = 40
TURN, WIDTH = 40, 4.0
FAST = 1e-3


def _sampled(run: Mapping[str, object]) -> bool:
    return any(run.get(f"model.{layer}.candidates.kind", "all") != "all" for layer in ("layer", "attention"))


PARTS: dict[str, Callable[[Mapping[str, object]], bool]] = {
    "lr 1e-3": lambda run: run["training.lr"] == FAST,
    "lower lr, all tokens": lambda run: run["training.lr"] != FAST and not _sampled(run),
    "sampled tokens": _sampled,
    "k varied": lambda run: "K_test" in str(run["folder"]),
    "of 100 epochs": lambda run: run["training.epochs"] == EPOCHS,
}


def parts() -> Iterator[tuple[str, str, Table]]:
    """Yield subsets of recorded tables: name, source sweep, and curves."""
    for name, runs, whole in packaged():
        assert whole.losses is not None
        for word, belongs in PARTS.items():
            mask = np.array([belongs(run.params) for run in runs])
            if LEAST_RUNS <= mask.sum() < len(mask):
                yield f"{name}, {word} ({mask.sum()})", name, Table(whole.values[mask], whole.losses[mask])


def deceiving(seed: int, whole: Table, *, turned: bool) -> Table:
    """Combine the starts of some runs with the ends of others."""
    assert whole.losses is not None
    rng = np.random.default_rng(seed)
    start = rng.permutation(len(whole.values))[:400]
    end = rng.permutation(start)
    if turned:
        end[whole.values[start, EPOCHS // 4].argsort()] = start[whole.values[start, -1].argsort()[::-1]]
    late = 1 / (1 + np.exp(-(np.arange(1, EPOCHS + 1) - TURN) / WIDTH))
    values, logs = whole.values, np.log(whole.losses)
    mixed = [each[start] * (1 - late) + each[end] * late for each in (values, logs)]
    return Table(mixed[0], np.exp(mixed[1]))


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description="The stopping rule auto on tables that it was not tuned on.")
    parser.add_argument("--repeats", type=int, default=300, help="paired orders of each subset")
    parser.add_argument("--tables", type=int, default=200, help="deceiving tables of each kind")
    given = parser.parse_args()
    families = {
        f"{name}, {'turned' if turned else 'drawn'} ends": partial(deceiving, whole=whole, turned=turned)
        for name, _, whole in packaged()
        for turned in (False, True)
    }
    print_families(given.tables, families)
    print_recorded(given.repeats, parts(), ((10, 2), (10, 3)))


if __name__ == "__main__":
    main()
