"""Run docs/how-to/python.md inside a running event loop, as a notebook does; `convnn run` has no event loop."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = 240

PROGRAM = """
import asyncio
import runpy

async def page():
    return runpy.run_path("page.py")

globals().update(asyncio.run(page()))

import contextlib
import io
from dataclasses import replace

import numpy as np

from convnn.data import stratified_split
from search_spaces.reading.load import with_trials

# The loaded model reproduces the recorded accuracy.
train = load_dataset("digits", splits=["train"]).train
_, held_out = stratified_split(train.labels, spec.evaluation.fraction, spec.evaluation.seed)
right = loaded.predict(train.pixels[held_out]).numpy() == train.labels[held_out]
assert right.mean() == best.value > 0.2, (right.mean(), best.value)

# In a thread, without any output.
said = io.StringIO()
with contextlib.redirect_stderr(said):
    again = asyncio.run(asyncio.to_thread(tune_jobs.run, replace(with_trials(spec, 1), name="in-thread"), False))
assert said.getvalue() == ""
assert again.halt is None
assert again.best.value == sweep.summary.trial("1").value

(other,) = (trial for trial in sweep.trials if trial.number != best.number)
try:
    tune_jobs.load_model(sweep, other.number)
except tune_jobs.UsageError as error:
    assert "resources.keep_best" in str(error)
else:
    raise AssertionError("a checkpoint that was not kept was loaded")
"""


def test_the_python_page_runs_from_start_to_end(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "python.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "page.py").write_text("\n".join(blocks))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
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
