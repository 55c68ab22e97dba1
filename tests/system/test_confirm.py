"""A confirmation on real Ray workers, killed once in the middle: its result is as if it had not been."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.faults.bench import ROOT
from tests.tune_jobs.cli.invoking import invoke_json
from tests.tune_jobs.program import convnn_json, start

FILE = """
name: searched
space:
  data: {name: digits, limit: 200}
  model: {name: vgg11, width: 0.0625, classifier_width: 16, layer: {kind: hybrid, lambda: {choice: [0, 1]}, k: 4}}
  training: {epochs: 1, batch_size: 32}
resources: {max_concurrent: 1}
"""


def test_a_killed_confirmation_resumes_and_ends_once(tmp_path: Path) -> None:
    file = tmp_path / "searched.yaml"
    file.write_text(FILE)
    searched = [
        sys.executable,
        "-m",
        "tests.faults.alone",
        str(file),
        str(tmp_path),
    ]  # like `convnn run`, but without Ray
    subprocess.run(searched, check=True, capture_output=True, cwd=ROOT)
    before = invoke_json("show", "searched", storage=tmp_path)
    with start(
        "confirm", "searched", "--margin", 100, storage=tmp_path
    ) as process:  # with such a wide margin, few seeds are enough
        assert process.stdout is not None
        for line in process.stdout:
            if " complete: test/accuracy" in line:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    found = convnn_json("confirm", "searched", storage=tmp_path)
    assert found["over"]
    assert found["openings"] == 1
    assert [found["baseline"]["trial"], found["candidates"][0]["trial"]] == [1, 2]
    assert found["candidates"][0]["difference"]["verdict"] in ("real", "equal")
    assert found["candidates"][0]["runs"] in (4, 8)
    assert len(set(found["baseline"]["values"])) > 1
    after = invoke_json("show", "searched", storage=tmp_path)
    assert [trial["run_key"] for trial in after["trials"]] == [trial["run_key"] for trial in before["trials"]]
    again = invoke_json("confirm", "searched", storage=tmp_path)
    assert again["candidates"] == found["candidates"]
