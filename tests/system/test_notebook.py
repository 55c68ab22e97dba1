"""examples/which_lambda.ipynb runs in a new kernel, and is committed with the outputs of such a run.

To update the outputs, run in examples/ with an empty folder as CONVNN_STORAGE:

    python -m jupyter execute --inplace which_lambda.ipynb
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tune_jobs

EXAMPLES = Path(__file__).parents[2] / "examples"
NAME = "which_lambda.ipynb"
SECONDS = 1200
Notebook = dict[str, Any]


def outputs(notebook: Notebook) -> list[list[tuple[str, ...]]]:
    """Return the kinds of output of each code cell, without their content."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [
        [(each["output_type"], each.get("name", ""), *sorted(each.get("data", {}))) for each in cell["outputs"]]
        for cell in cells
    ]


def text(notebook: Notebook, cell: int) -> str:
    """Return the output of a code cell as text."""
    (shown,) = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"][cell]["outputs"]
    return "".join(shown["text"] if "text" in shown else shown["data"]["text/plain"])


@pytest.fixture(scope="module")
def committed() -> Notebook:
    """The notebook in the repository."""
    found: Notebook = json.loads((EXAMPLES / NAME).read_text())
    return found


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sweeps")


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory, storage: Path) -> Notebook:
    """The notebook after a run in a new kernel, in a copy of the folder."""
    place = tmp_path_factory.mktemp("reader") / "examples"
    shutil.copytree(EXAMPLES, place)
    done = subprocess.run(
        [sys.executable, "-m", "jupyter", "execute", "--inplace", NAME],
        cwd=place,
        env={**os.environ, "CONVNN_STORAGE": str(storage)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    found: Notebook = json.loads((place / NAME).read_text())
    return found


def test_its_outputs_are_like_the_committed_ones_without_warnings(executed: Notebook, committed: Notebook) -> None:
    assert outputs(executed) == outputs(committed)
    assert not [kind for cell in outputs(executed) for kind in cell if "stderr" in kind]


def test_its_answer_agrees_with_the_record(executed: Notebook, storage: Path) -> None:
    record = tune_jobs.open_confirmation("which-lambda", storage)
    assert record is not None
    assert record.standing.over
    answer = text(executed, -1)
    assert answer.startswith(f"{record.verdict}\n")
    (found,) = record.to_frame()[1:].to_dict("records")
    said = re.search(r"([+-]\d+\.\d) points, 95% interval ([+-]\d+\.\d) to ([+-]\d+\.\d)", answer)
    assert said is not None
    for shown, name in zip(said.groups(), ("difference", "low", "high"), strict=True):
        assert float(shown) == pytest.approx(100 * found[name], abs=0.0501)
    assert found["verdict"] in answer


def test_its_table_has_every_trial_of_the_sweep(executed: Notebook, storage: Path) -> None:
    numbers = [int(line.split()[1]) for line in text(executed, 2).splitlines()[1:]]
    assert numbers == [row.number for row in tune_jobs.open_sweep("which-lambda", storage).trials]


def test_the_committed_outputs_are_of_one_run_and_reveal_nothing_about_the_machine(
    committed: Notebook,
) -> None:
    cells = [cell for cell in committed["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert all(cell["outputs"] for cell in cells)
    shown = json.dumps([cell["outputs"] for cell in cells])
    pictures = re.sub(r'"image/png": "[^"]*"', "", shown)
    assert not re.findall(r"(?:^|[\s\"'(])(?:/|[A-Z]:\\)\w+[/\\]", pictures)
    assert (EXAMPLES / NAME).stat().st_size < 300_000
