"""Write the prior of the rule `auto` from the packaged runs: `python -m benchmarks.prior`.

It has one recorded sweep per model and data set, with its first 100 epochs, summarized by the rule's own code.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.families import EPOCHS, Table
from tune_jobs.results.recorded.published import published
from tune_jobs.results.recorded.table import RecordedRun
from tune_jobs.search.pruners import prior
from tune_jobs.search.pruners.curves import FRACTIONS, summarized

Floats = npt.NDArray[np.float64]
DRAWS, RIDGE, DIGITS = 2000, 0.1, 3


def packaged() -> Iterator[tuple[str, list[RecordedRun], Table]]:
    """Yield the packaged runs as tables, by model and data set, with accuracies in percent."""
    table = published().of_epochs(EPOCHS)
    values, losses = 100 * table.curves["test/accuracy"], table.curves["test/loss"]
    models = {"vgg11": "vgg", "vit_tiny": "vit"}
    names = np.array([f"{models[str(run.params['model.name'])]} {run.params['data.name']}" for run in table.runs])
    for name in sorted(set(names)):
        runs = [run for run, own in zip(table.runs, names == name, strict=True) if own]
        yield str(name), runs, Table(values[names == name], losses[names == name])


def summary(table: Table) -> dict[str, list[float] | list[list[float]]]:
    """Summarize a recorded sweep; see `RecordedSweep`."""
    assert table.losses is not None
    early, logs = table.values[:, : EPOCHS // 10], -np.log(table.losses[:, : EPOCHS // 10])
    rng = np.random.default_rng(7)
    draws = []
    for _ in range(DRAWS):
        chosen = rng.permutation(len(early))[: prior.COMPARED]
        draws.append(prior.early_numbers(early[chosen], logs[chosen]))
    low, middle, high = np.quantile(np.array(draws), (0.16, 0.5, 0.84), axis=0)
    slopes, explained = [], []
    for courses, finals in summarized(table.values, table.losses):
        weak = RIDGE * len(finals) * np.eye(courses.shape[1])
        line = np.linalg.solve(courses.T @ courses + weak, courses.T @ finals)
        slopes.append(line)
        explained.append(max(0.0, 1 - float(((finals - courses @ line) ** 2).mean())))
    return {
        "numbers": middle.round(DIGITS).tolist(),
        "unsure": np.maximum((high - low) / 2, 0.02).round(DIGITS).tolist(),
        "slopes": np.array(slopes).round(DIGITS).tolist(),
        "explained": np.array(explained).round(DIGITS).tolist(),
    }


def main() -> None:
    """Write the file into the package."""
    assert len(FRACTIONS) == len({round(fraction * EPOCHS) for fraction in FRACTIONS})
    text = json.dumps({name: summary(table) for name, _, table in packaged()})
    Path(prior.__file__).with_name("prior.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
