"""Compare every parameter and GFLOPs cell of the paper's Tables 1 to 5 with ours.

Run: `python -m benchmarks.tables`. Our values are derived from each row's model on the meta device (`convnn.cost`).
Theirs are the printed values and those logged by the authors' runs. The tables truncate instead of rounding.
"""

import functools
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from convnn.cost import operations, parameters
from convnn.geometry import IMAGE_SIDE
from convnn.models.vgg import vgg11
from convnn.models.vit import vit_tiny

PUBLISHED = Path(__file__).parents[1] / "tests" / "convnn" / "published_tables.json"
"""Rows with the configuration of the run, the printed cells, and the logged values."""

CLASSES = {"cifar10": 10, "cifar100": 100}


@dataclass(frozen=True)
class Cell:
    """One number of the paper: its place, the printed value, the value logged by its run, and ours."""

    table: int
    dataset: str
    row: str
    name: str
    printed: float
    logged: float
    ours: float

    @property
    def slip(self) -> str | None:
        """The known reason why the table and its run disagree, if they do."""
        if self.name == "gflops" and self.dataset == "cifar100" and self.table in (1, 3, 4) and "p=2" not in self.row:
            return "the table shows CIFAR-10's number"
        if self.name == "params_m" and (self.table, self.dataset, self.row) == (4, "cifar100", "Branching 0.5 p=2"):
            return "misprint of the run's 199.521"
        return None

    @property
    def as_printed(self) -> bool:
        """Whether our value, truncated to the table's decimals, equals the printed one."""
        return int(self.ours * 1000 + 1e-6) == round(self.printed * 1000)

    @property
    def as_logged(self) -> bool:
        """Whether our value equals the logged one to its last digit: 8 decimals for GFLOPs, exact for parameters."""
        return abs(self.ours - self.logged) <= (0.6e-8 if self.name == "gflops" else 1e-9)


@functools.cache
def _ours(model: str, classes: int) -> dict[str, float]:
    config: dict[str, Any] = json.loads(model)
    options: dict[str, Any] = config["options"]
    with torch.device("meta"):
        if config["name"] == "vgg11":
            built: torch.nn.Module = vgg11(classes, config["lambda"], **options)
        else:
            built = vit_tiny(classes, config["attention"], **options)
    shape = (1, 3, IMAGE_SIDE, IMAGE_SIDE)
    return {"params_m": parameters(built) / 1e6, "gflops": operations(built, shape).published / 1e9}


def cells() -> Iterator[Cell]:
    """Yield all cells, table by table."""
    for row in sorted(json.loads(PUBLISHED.read_text()), key=lambda row: row["table"]):
        ours = _ours(json.dumps(row["model"]), CLASSES[row["dataset"]])
        label = row["row"] if row["part"] is None else f"{row['row']}, {row['part']}"
        for name, value in ours.items():
            yield Cell(row["table"], row["dataset"], label, name, row[name]["printed"], row[name]["logged"], value)


def main() -> int:
    """Print the table; fail if a cell differs from ours without a known reason."""
    print(f"{'table':5}  {'data':8}  {'row':44}  {'cell':8}  {'printed':>9}  {'logged':>12}  {'ours':>12}")
    wrong = slips = total = 0
    for cell in cells():
        total += 1
        verdict = "" if cell.as_printed else f"misprint: {cell.slip}" if cell.slip else "DIFFERENT"
        slips += cell.slip is not None and not cell.as_printed
        wrong += (not cell.as_printed and cell.slip is None) or not cell.as_logged
        print(
            f"{cell.table:<5}  {cell.dataset:8}  {cell.row:44}  {cell.name:8}  {cell.printed:9.3f}  "
            f"{cell.logged:12.8g}  {cell.ours:12.8g}  {verdict}".rstrip()
        )
    print(f"{total} cells: {total - wrong} equal the logged values; {slips} are known misprints in the tables.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
