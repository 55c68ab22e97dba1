from pathlib import Path

import pytest

from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tests.tune_jobs.shipping import Recorded


def test_a_sweep_is_started_over_only_if_the_user_agrees(sweep: Recorded, tmp_path: Path) -> None:
    file = tmp_path / "tracked.yaml"
    file.write_text(sweep.folder.spec.read_text())
    said = invoke("run", file, "--fresh", storage=sweep.folder.path.parent, expect=2)
    assert f"{sweep.folder.path} holds a sweep tracked; move it aside and start over? No terminal" in said
    assert [path.name for path in sweep.folder.path.parent.iterdir()] == ["tracked"]


def test_run_refuses_a_dashboard_and_names_submit(tmp_path: Path) -> None:
    said = invoke("run", "quickstart", "--address", "http://head:8265", storage=tmp_path, expect=2)
    assert "convnn submit ... --address http://head:8265" in said


FILE = """
name: tracked
space:
  model: {name: vgg11, layer: {kind: hybrid, lambda: 0.25, k: 4}}
  training: {lr: {uniform: [0.0001, 0.0002]}, epochs: 5}
search: {sampler: random, trials: 2}
"""


@pytest.fixture
def extended(sweep: Recorded, uri: str, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """Three trials have run, and the file has 2."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    sweep.folder.spec.write_text(FILE.replace("trials: 2", "trials: 3"))
    for trial in "abc":
        sweep.attempt([1, 2, 3, 4, 5], "complete", trial=trial)
    return sweep


def test_a_file_with_fewer_trials_than_have_run_starts_nothing_and_names_both_numbers(
    extended: Recorded, tmp_path: Path
) -> None:
    file, storage = tmp_path / "tracked.yaml", extended.folder.path.parent
    file.write_text(FILE)
    said = invoke("run", file, storage=storage)
    assert "3 trials have run and search.trials is 2, so nothing is started (for more: convnn extend tracked" in said
    assert "tracked: 3 of 3 trials ended   3 complete" in said
    (listed,) = invoke_json("list", storage=storage)["sweeps"]
    assert (listed["state"], listed["planned"], listed["ended"]) == ("done", 3, 3)
    assert len(extended.ledger.attempts()) == 3
    assert "must be more than the 3" in invoke("extend", "tracked", "--trials", 3, storage=storage, expect=2)


@pytest.mark.parametrize("command", ["run", "resume", "retry"])
def test_set_refuses_fewer_trials_than_have_run(extended: Recorded, tmp_path: Path, command: str) -> None:
    file = tmp_path / "tracked.yaml"
    file.write_text(FILE)
    before = extended.folder.spec.read_text()
    subject = {"run": [str(file)], "resume": ["tracked"], "retry": ["tracked", "--failed"]}[command]
    said = invoke(command, *subject, "--set", "search.trials=2", storage=extended.folder.path.parent, expect=2)
    assert said.splitlines()[-1].startswith("convnn: search.trials must be at least 3, as 3 trials of tracked have")
    assert extended.folder.spec.read_text() == before
