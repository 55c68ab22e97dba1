"""The commands' --json output matches their schemas, key by key."""

import json
import signal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer

from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tests.tune_jobs.shipping import Recorded
from tune_jobs.cli.app import app
from tune_jobs.cli.shared.notifying import Notifier
from tune_jobs.cli.shared.outputs import OUTPUTS
from tune_jobs.cli.shared.running import follow
from tune_jobs.driver.limits import Halt
from tune_jobs.driver.run import Outcome
from tune_jobs.record.lease import lease
from tune_jobs.results.summary import read_summary
from tune_jobs.tracking.base import Tracked

FILE = """
name: tracked
space:
  data: {name: digits, limit: 60}
  model: {name: vgg11, width: 0.0625, classifier_width: 16, layer: {kind: conv2d}}
  training: {epochs: 1, batch_size: 32}
"""


def closed(schema: Any) -> Any:
    """Return the same schema, without unknown keys."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    more = {"additionalProperties": False} if "properties" in schema else {}
    return {**{name: closed(part) for name, part in schema.items()}, **more}


def require_as_said(command: str, printed: Any) -> None:
    schema = json.loads(invoke("schema", "--output", command, storage=Path()))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(printed, closed(schema), jsonschema.Draft202012Validator)


@pytest.fixture
def sweep(sweep: Recorded) -> Recorded:
    """A sweep with a complete, a diverged, an excluded and a running trial."""
    sweep.folder.spec.write_text(FILE)
    sweep.attempt([1, 2], "complete")
    sweep.attempt([1], "diverged", "the loss became nan", "diverged", trial="b")
    sweep.ledger.add_epoch("b", 1, 2, {"val/accuracy": float("nan")})
    sweep.attempt([1], "complete", trial="c")
    sweep.ledger.add_request("c", "exclude", "wrong images")
    sweep.attempt([1], trial="d")
    return sweep


@pytest.mark.parametrize(
    "words",
    [
        ["best", "tracked", "--top", "2"],
        ["list"],
        ["show", "tracked"],
        ["show", "tracked", "1"],
        ["show", "tracked", "3"],
        ["status", "tracked"],
        ["report", "tracked", "--csv"],
        ["exclude", "tracked", "1", "--why", "a doubt"],
        ["presets"],
        ["plan", "quickstart"],
        ["plan", "quickstart", "--throughput", "100"],
        ["plan", "table1-cifar10", "--resolve", "0.5"],
        ["validate", "quickstart"],
        ["simulate", "table2-cifar10", "--repeats", "2", "--budgets", "2", "--rules", "none"],
        ["simulate", "--from", "tracked", "--budgets", "1", "--repeats", "1"],
    ],
    ids=" ".join,
)
def test_the_output_matches_its_schema(sweep: Recorded, words: list[str]) -> None:
    require_as_said(words[0], invoke_json(*words, storage=sweep.folder.path.parent))


def test_the_mistakes_of_a_file_match_the_schema(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("name: wrong\nspace: {model: {name: vgg12}}\n")
    require_as_said("validate", json.loads(invoke("validate", file, "--json", storage=tmp_path, expect=2)))


def test_the_outcome_of_a_run_matches_the_schema(sweep: Recorded, capsys: pytest.CaptureFixture[str]) -> None:
    tracked = Tracked("http://mlflow:5000", "mine", None, "it does not answer")
    halt = Halt("signal", "stopped by hand", signal.SIGINT)
    outcome = Outcome(sweep.folder, read_summary(sweep.folder), exhausted=False, halt=halt, tracked=tracked)
    with pytest.raises(typer.Exit):
        follow(lambda _: outcome, Notifier(None, sweep.folder, ""), as_json=True)
    require_as_said("run", json.loads(capsys.readouterr().out))


def test_a_running_and_a_synced_sweep_match_the_schemas(sweep: Recorded, uri: str) -> None:
    storage = sweep.folder.path.parent
    with lease(sweep.folder.path):
        running = invoke_json("status", "tracked", storage=storage)
    assert running["driver"]
    require_as_said("status", running)
    sweep.folder.spec.write_text(f"{FILE}tracking: {{uri: '{uri}', experiment: {sweep.experiment}}}\n")
    require_as_said("sync", invoke_json("sync", "tracked", storage=storage))


def test_a_failed_check_matches_the_schema(tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    found = json.loads(invoke("doctor", "--json", storage=tmp_path / "a file", expect=1, errors=False))
    assert not found["ok"]
    require_as_said("doctor", found)


def test_an_unreadable_sweep_and_a_training_match_their_schemas(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "ledger.db").write_bytes(b"no database" * 1000)
    require_as_said("list", invoke_json("list", storage=tmp_path))
    file = tmp_path / "one.yaml"
    file.write_text(FILE)
    require_as_said("train", invoke_json("train", file, storage=tmp_path))


def test_an_unknown_command_is_answered_with_a_similar_one() -> None:
    assert "did you mean 'show'?" in invoke("schema", "--output", "shw", storage=Path(), expect=2)


def test_every_command_with_json_has_a_schema() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    with_json = {name for name, command in commands.items() if any("--json" in one.opts for one in command.params)}
    assert with_json - set(OUTPUTS) == {"fetch", "submit"}  # which need a cluster
