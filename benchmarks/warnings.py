"""Write the results of stopping rules on the published runs, for the warnings of `convnn plan` and `validate`.

Run it manually after a change of the simulator, a stopping rule or the runs: `python -m benchmarks.warnings
[--repeats 200] [FILE]`, about an hour on one core. For each model, data set and length, every rule of `RULES` searches
the table with the code of `convnn simulate`, in the same random orders. `first` holds the regrets of the first orders;
a test uses them to detect an outdated file.
"""

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np

from tune_jobs.planning import stopping
from tune_jobs.results.recorded.published import published
from tune_jobs.results.recorded.table import RecordedTable
from tune_jobs.simulate.regret import INTERVAL, Mean, mean_of
from tune_jobs.simulate.rules import rules_of
from tune_jobs.simulate.simulation import WORKERS, Setting, simulate
from tune_jobs.system.files import write_whole

EPOCHS = (60, 90, 150)
"""Epochs of a trial; runs are cut there. The value of stopping depends on the length."""

REPEATS, BUDGETS, FIRST = 200, (8, 16, 32), 2
NEVER = "none"
RULES = (
    NEVER,
    "auto",
    *(f"asha:{settings}" for settings in ("1/3", "3/3", "6/3", "10/3", "30/3", "10/2")),
    "hyperband:10/3",
    "median:1/5",
    "patience:10",
)
MODELS = ("vgg11", "vit_tiny")
DATA = ("cifar10", "cifar100")
OUTPUT = Path(stopping.__file__).with_name(stopping.FILE)
Regrets = dict[int, list[float]]
"""The regret of each order, by budget."""


def runs(model: str, data: str) -> RecordedTable:
    """Return the published runs of one model and data set."""
    return published().where([f"model.name={model}", f"data.name={data}"])


def played(table: RecordedTable, rule: str, epochs: int, repeats: int) -> Regrets:
    """Return the regrets of a rule."""
    setting = Setting(repeats=repeats, budgets=tuple(map(float, BUDGETS)), rules=rule, epochs=epochs)
    return {int(result.budget): list(result.regrets) for result in simulate(table, None, setting).results}


def content(found: dict[tuple[str, str, int], dict[str, Regrets]]) -> dict[str, Any]:
    """Return the file's content, from the regrets of each rule by model, data set and epochs."""
    return {
        "made_by": "python -m benchmarks.warnings",
        "source": published().about,
        "unit": "percentage points of test accuracy",
        "repeats": len(next(iter(next(iter(found.values()))[NEVER].values()))),
        "workers": WORKERS,
        "interval": INTERVAL,
        "tables": [
            {
                "model": model,
                "data": data,
                "runs": len(runs(model, data).of_epochs(epochs).runs),
                "epochs": epochs,
                "rules": [_rule(name, epochs, regrets, rules[NEVER]) for name, regrets in rules.items()],
            }
            for (model, data, epochs), rules in found.items()
        ],
    }


def settings(rule: str, epochs: int) -> dict[str, Any]:
    """Return a rule's settings as in a sweep file."""
    (named,) = rules_of(rule, epochs)
    return stopping.compared(named.stopping)


def _rule(name: str, epochs: int, regrets: Regrets, never: Regrets) -> dict[str, Any]:
    return {
        "stopping": settings(name, epochs),
        "at": [
            {
                "budget": budget,
                "regret": _rounded(mean_of(own)),
                "over_never": _rounded(mean_of((np.array(own) - np.array(never[budget])).tolist())),
                "first": [round(value, 3) for value in own[:FIRST]],
            }
            for budget, own in regrets.items()
        ],
    }


def _rounded(found: Mean) -> list[float]:
    assert found.low is not None
    assert found.high is not None
    return [round(value, 3) for value in (found.mean, found.low, found.high)]


def written(found: dict[str, Any]) -> str:
    """Format the file with one rule per line."""
    tables = []
    for table in found["tables"]:
        rules = ",\n".join(f"    {json.dumps(rule)}" for rule in table["rules"])
        head = json.dumps({name: value for name, value in table.items() if name != "rules"})
        tables.append(f'  {head[:-1]}, "rules": [\n{rules}\n  ]}}')
    head = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in found.items() if name != "tables")
    return "{\n" + head + ',\n"tables": [\n' + ",\n".join(tables) + "\n]}\n"


def packaged() -> dict[str, Any]:
    """Return the current content of the file."""
    found: dict[str, Any] = json.loads(OUTPUT.read_text("utf-8"))
    return found


def first_of(model: str, data: str, epochs: int, rule: str) -> Regrets:
    """Return the file's regrets of a rule's first orders."""
    named = {"model": model, "data": data, "epochs": epochs}
    (table,) = (each for each in packaged()["tables"] if named.items() <= each.items())
    (found,) = (each for each in table["rules"] if each["stopping"] == settings(rule, epochs))
    return {at["budget"]: at["first"] for at in found["at"]}


def main() -> None:
    """Simulate everything and write the file."""
    parser = argparse.ArgumentParser(description="Write the results of stopping rules on the published runs.")
    parser.add_argument("file", nargs="?", type=Path, default=OUTPUT)
    parser.add_argument("--repeats", type=int, default=REPEATS, help="random orders of each table")
    given = parser.parse_args()
    found: dict[tuple[str, str, int], dict[str, Regrets]] = {}
    for model, data, epochs in itertools.product(MODELS, DATA, EPOCHS):
        table, rules = runs(model, data), found.setdefault((model, data, epochs), {})
        for rule in RULES:
            rules[rule] = played(table, rule, epochs, given.repeats)
            means = ", ".join(f"{np.mean(regrets):.2f} at {budget}" for budget, regrets in rules[rule].items())
            print(f"{model} {data}, {epochs} epochs, {rule}: {means}", flush=True)
    write_whole(given.file, written(content(found)).encode())


if __name__ == "__main__":
    main()
