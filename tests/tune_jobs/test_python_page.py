"""docs/how-to/python.md, run as a reader runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = 240

ALSO = """
import asyncio
import contextlib
import io
from dataclasses import replace

import numpy as np

from convnn.data import stratified_split
from search_spaces.reading.load import with_trials

# What was recorded is what the loaded model finds.
train = load_dataset("digits", splits=["train"]).train
_, held_out = stratified_split(train.labels, spec.evaluation.fraction, spec.evaluation.seed)
right = loaded.predict(train.pixels[held_out]).numpy() == train.labels[held_out]
assert right.mean() == best.value > 0.2, (right.mean(), best.value)

# In a running event loop, as notebooks have one, and in a thread.
one = with_trials(spec, 1)

async def main():
    in_loop = tune_jobs.run(replace(one, name="in-loop"))
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        in_thread = await asyncio.to_thread(tune_jobs.run, replace(one, name="in-thread"), False)
    assert said.getvalue() == ""
    return in_loop, in_thread

for other in asyncio.run(main()):
    assert other.halt is None
    assert other.best.value == sweep.summary.trial("1").value

(other,) = (trial for trial in sweep.trials if trial.number != best.number)
try:
    tune_jobs.load_model(sweep, other.number)
except tune_jobs.UsageError as error:
    assert "resources.keep_best" in str(error)
else:
    raise AssertionError("a checkpoint that was not kept was loaded")
"""


def test_the_python_page_runs_from_top_to_bottom(tmp_path: Path) -> None:
    blocks = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "docs" / "how-to" / "python.md").read_text(), re.MULTILINE | re.DOTALL
    )
    program = tmp_path / "page.py"
    program.write_text("\n".join([*blocks, ALSO]))
    done = subprocess.run(
        [sys.executable, program],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env={**os.environ, "CONVNN_STORAGE": str(tmp_path / "sweeps")},
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "Outcome('first', 2 of 2 trials ended, best val/accuracy " in done.stdout
    assert "trial 1 started" in done.stderr
    assert "Warning" not in done.stderr
