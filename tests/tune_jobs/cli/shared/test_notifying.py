import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tune_jobs.cli.invoking import invoke
from tests.tune_jobs.cluster.head import Head
from tests.tune_jobs.program import convnn
from tests.tune_jobs.servers import free_port
from tests.tune_jobs.shipping import Recorded
from tests.tune_jobs.webhook import SECRET, Webhook, webhook
from tune_jobs.cluster.catalog import Cluster
from tune_jobs.cluster.submission import restart
from tune_jobs.record.lease import lease

FILE = """
name: tracked
space:
  data: {name: digits, limit: 60}
  model: {name: vgg11, width: 0.0625, classifier_width: 16, layer: {kind: conv2d}}
  training: {lr: {uniform: [0.0001, 0.0002]}, epochs: 1, batch_size: 32}
search: {sampler: random, trials: 2}
"""


@pytest.fixture
def over(sweep: Recorded, uri: str, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """Both trials have run, so that there is nothing to train."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    sweep.folder.spec.write_text(FILE)
    sweep.attempt([1], "complete", trial="a")
    sweep.attempt([1], "failed", "a mistake", "user_error", trial="b")
    sweep.ledger.meta.planned = 2
    return sweep


def told(hook: Webhook, sweep: Recorded, *words: str, expect: int) -> dict[str, Any]:
    """What an address is told of a command; its answer is said in one line."""
    hook.posted.clear()
    said = invoke(*words, "--notify", hook.address, storage=sweep.folder.path.parent, expect=expect)
    assert SECRET not in said
    (posted,) = hook.posted
    said_so = {"ended": "has ended", "paused": "is paused"}[posted["event"]]
    assert said.count(f"notified: the sweep {said_so}\n") == 1
    return posted


def test_an_end_and_a_pause_are_told_with_the_numbers_and_the_way_on(over: Recorded) -> None:
    with webhook() as hook:
        ended = told(hook, over, "resume", "tracked", expect=3)
        over.folder.spec.write_text(f"{FILE}budget: {{trials: 2}}\n")
        paused = told(hook, over, "extend", "tracked", "--trials", "+2", expect=5)
    assert ended["text"] == "tracked has ended; 2 trials ended, 1 failed; best val/accuracy 11.00%."
    assert ended["trials"] == {"ended": 2, "failed": 1, "planned": 2}
    assert (ended["sweep"], ended["best"]["value"], ended["resume"]) == ("tracked", 0.11, None)
    assert paused["reason"].startswith("the budget of 2 trials is used up")
    assert paused["text"].endswith("To resume: convnn resume tracked")


def test_a_notification_that_fails_changes_neither_the_answer_nor_the_exit_code(over: Recorded) -> None:
    storage = over.folder.path.parent
    options: tuple[tuple[str, ...], ...] = ((), ("--notify", "false"))
    quiet, said = (invoke("resume", "tracked", *more, storage=storage, expect=3) for more in options)
    line = "convnn: the notification was not delivered: the command ended with exit code 1.\n"
    assert said.count(line) == 1
    assert said.replace(line, "").endswith(quiet[quiet.index("all trials:") :])


def test_an_error_is_told_and_a_mistake_or_a_sweep_that_runs_already_is_not(over: Recorded, tmp_path: Path) -> None:
    storage = over.folder.path.parent
    with webhook() as hook:
        with lease(over.folder.path):
            invoke("resume", "tracked", "--notify", hook.address, storage=storage, expect=1)
        invoke("resume", "trackd", "--notify", hook.address, storage=storage, expect=2)
        assert hook.posted == []
        (tmp_path / "train.parquet").write_text("not Parquet")
        over.folder.spec.write_text(FILE.replace("digits, limit: 60", f"cifar10, root: {tmp_path}"))
        words = ("extend", "tracked", "--trials", "+1", "--notify", hook.address)
        invoke(*words, storage=storage, expect=1)
    (failed,) = hook.posted
    assert (failed["event"], failed["trials"]["ended"]) == ("failed", 2)
    assert failed["reason"]
    assert "To resume: convnn resume tracked" in failed["text"]


def test_a_submitted_job_tells_it_too(over: Recorded, tmp_path: Path) -> None:
    class Noted(Cluster):
        """Keeps what it would start."""

        def start(self, command: str, sweep: str, task: dict[str, Any], **_: Any) -> Any:
            del sweep
            (tmp_path / "task.json").write_text(json.dumps({"kind": "command", **task}))
            return command, 0

    environment = {**os.environ, "CONVNN_STORAGE": str(over.folder.path.parent)}
    with webhook() as hook, Head().serving() as head:
        restart(Noted(head.address), "resume", "tracked", [], notify=hook.address)
        command = [sys.executable, "-m", "tune_jobs.cli.cluster_job"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert done.returncode == 3, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert [each["event"] for each in hook.posted] == ["ended"]


def test_whom_a_run_tells_is_recorded_nowhere(tmp_path: Path) -> None:
    file, storage = tmp_path / "file.yaml", tmp_path / "sweeps"
    file.write_text(FILE)
    ray = f"127.0.0.1:{free_port()}"  # where there is none: the start is recorded, and nothing trains
    with webhook() as hook:
        convnn("run", file, "--address", ray, "--notify", hook.address, storage=storage, expect=4)
        convnn("run", file, "--address", ray, storage=storage, expect=4, CONVNN_NOTIFY=hook.address)
    assert [each["event"] for each in hook.posted] == ["failed", "failed"]
    invoke("sync", "tracked", storage=storage)
    starts = json.loads((storage / "tracked" / "manifest.json").read_text())["starts"]
    assert [start["command"][-4:] for start in starts] == [["run", str(file), "--address", ray]] * 2
    files = [path for path in storage.rglob("*") if path.is_file()]
    assert {"ledger.db", "mlflow.db"} <= {path.name for path in files}
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
