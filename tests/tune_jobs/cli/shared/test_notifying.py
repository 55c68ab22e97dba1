import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.tune_jobs.cli.invoking import invoke
from tests.tune_jobs.cluster.head import Head
from tests.tune_jobs.program import CONVNN
from tests.tune_jobs.servers import free_port
from tests.tune_jobs.shipping import Recorded
from tests.tune_jobs.webhook import SECRET, Webhook, webhook
from tune_jobs.cli import cluster_job
from tune_jobs.cli.shared.notifying import Notifier
from tune_jobs.cli.shared.options import resuming
from tune_jobs.cli.shared.running import watched
from tune_jobs.cluster.catalog import Cluster
from tune_jobs.cluster.submission import restart
from tune_jobs.errors import UsageError
from tune_jobs.record.lease import lease
from tune_jobs.record.manifest import JOB_ADDRESS, SUBMISSION

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
    """Return a sweep whose trials have both ended, so that nothing trains."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    sweep.folder.spec.write_text(FILE)
    sweep.attempt([1], "complete", trial="a")
    sweep.attempt([1], "failed", "a mistake", "user_error", trial="b")
    sweep.ledger.meta.planned = 2
    return sweep


def message(hook: Webhook, sweep: Recorded, *words: str, expect: int) -> dict[str, Any]:
    """Return the message that a command sends; one line of its output confirms it."""
    hook.posted.clear()
    said = invoke(*words, "--notify", hook.address, storage=sweep.folder.path.parent, expect=expect)
    assert SECRET not in said
    (posted,) = hook.posted
    confirmed = {"ended": "has ended", "paused": "is paused"}[posted["event"]]
    assert said.count(f"notified: the sweep {confirmed}\n") == 1
    return posted


@pytest.mark.parametrize(
    ("error", "sent"), [(FileNotFoundError(2, "No such file", "/mnt/sweeps"), True), (UsageError("x"), False)]
)
def test_a_missing_file_during_the_run_is_reported_but_not_a_mistake(
    over: Recorded, error: Exception, sent: bool
) -> None:
    def start(_: object) -> None:
        raise error

    with webhook() as hook, pytest.raises(type(error)):
        watched(start, Notifier(hook.address, over.folder, ""), as_json=False)
    assert [each["event"] for each in hook.posted] == ["failed"] * sent


@pytest.mark.parametrize(
    ("address", "storage", "command"),
    [
        (None, None, "convnn resume mine"),
        (None, "my sweeps", "convnn resume mine --storage '{here}/my sweeps'"),
        ("http://head:8265", "/sweeps", "convnn resume mine --address http://head:8265 --storage /sweeps"),
    ],
)
def test_the_resume_command_contains_the_address_of_a_job_and_the_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str | None, storage: str | None, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(JOB_ADDRESS, raising=False)
    if address is not None:
        monkeypatch.setenv(JOB_ADDRESS, address)
    assert resuming("resume", "mine", None if storage is None else Path(storage)) == command.format(here=tmp_path)


def test_an_end_and_a_pause_are_reported_with_numbers_and_the_resume_command(over: Recorded) -> None:
    with webhook() as hook:
        ended = message(hook, over, "resume", "tracked", expect=3)
        over.folder.spec.write_text(f"{FILE}budget: {{trials: 2}}\n")
        paused = message(hook, over, "extend", "tracked", "--trials", "+2", expect=5)
    assert ended["text"] == "tracked has ended; 2 trials ended, 1 failed; best val/accuracy 11.00%."
    assert ended["trials"] == {"ended": 2, "failed": 1, "planned": 2}
    assert (ended["sweep"], ended["best"]["value"], ended["resume"]) == ("tracked", 0.11, None)
    assert paused["reason"].startswith("the budget of 2 trials is used up")
    assert paused["text"].endswith("To resume: convnn resume tracked")


def test_a_failed_notification_changes_neither_the_output_nor_the_exit_code(over: Recorded) -> None:
    storage = over.folder.path.parent
    options: tuple[tuple[str, ...], ...] = ((), ("--notify", "false"))
    quiet, said = (invoke("resume", "tracked", *more, storage=storage, expect=3) for more in options)
    line = "convnn: the notification was not delivered: the command ended with exit code 1.\n"
    assert said.count(line) == 1
    assert said.replace(line, "").endswith(quiet[quiet.index("all trials:") :])


def test_an_error_is_reported_but_not_a_mistake_or_a_sweep_already_running(over: Recorded, tmp_path: Path) -> None:
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


class NotStarted(Cluster):
    """Keeps the task of a job instead of submitting it."""

    task: dict[str, Any]

    def start(self, command: str, sweep: str, task: dict[str, Any], **_: Any) -> Any:
        del sweep
        self.task = {"kind": "command", **task}
        return command, 0


def test_a_submitted_job_sends_it_too(
    over: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("CONVNN_NOTIFY", "CONVNN_ADDRESS", "RAY_API_SERVER_ADDRESS", SUBMISSION, JOB_ADDRESS):
        monkeypatch.setenv(name, "")  # so that the test restores all that a job changes
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setenv("CONVNN_STORAGE", str(over.folder.path.parent))
    monkeypatch.setenv("CONVNN_JOB_COPY", str(tmp_path / "job"))
    with webhook() as hook, Head().serving() as head:
        cluster = NotStarted(head.address)
        restart(cluster, "resume", "tracked", [], notify=hook.address)
        assert SECRET not in str(cluster.task["arguments"])
        (tmp_path / "job").mkdir()
        (tmp_path / "job" / "task.json").write_text(json.dumps(cluster.task))
        assert cluster_job.main() == 3
        assert os.environ[JOB_ADDRESS] == head.address
    assert SECRET not in "".join(capfd.readouterr())
    assert [each["event"] for each in hook.posted] == ["ended"]
    assert "CONVNN_NOTIFY" not in os.environ


def test_the_target_is_not_recorded(over: Recorded, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = over.folder.path.parent
    ray = ("--address", f"127.0.0.1:{free_port()}")  # no Ray there: the start is recorded, and nothing trains
    plain = ["convnn", "extend", "tracked", "--trials", "+1", *ray]
    with webhook() as hook:
        for option in (["--notify", hook.address], [f"--notify={hook.address}"], []):
            if not option:
                monkeypatch.setenv("CONVNN_NOTIFY", f" {hook.address}\n")  # as in a file
            monkeypatch.setattr(sys, "argv", [*plain[:2], *option, *plain[2:]])
            invoke(*sys.argv[1:], storage=storage, expect=4)
    monkeypatch.delenv("CONVNN_NOTIFY", raising=False)
    invoke("sync", "tracked", storage=storage)
    assert [each["event"] for each in hook.posted] == ["failed"] * 3
    starts = json.loads(over.folder.manifest.read_text())["starts"]
    assert [start["command"] for start in starts] == [plain] * 3
    files = [path for path in storage.rglob("*") if path.is_file()]
    store = Path(uri.removeprefix("sqlite:///"))
    assert over.folder.ledger in files
    assert [path for path in [*files, store] if SECRET.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("program", [[CONVNN], ["-c", "from tune_jobs.cli import main; main()"]])
def test_the_target_leaves_the_command_line_of_the_process(program: list[str], tmp_path: Path) -> None:
    words = [sys.executable, *program, "resume", "--storage", str(tmp_path), "--notify", f"mail '{SECRET}", "none"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        shown = b""
        while process.poll() is None:
            shown = Path(f"/proc/{process.pid}/cmdline").read_bytes() or shown  # empty once it has ended
            time.sleep(0.01)
        assert process.stdout is not None
        assert "it contains an unclosed quotation mark" in process.stdout.read()
    assert shown.decode().split("\0")[1 + len(program) : -1] == (
        ["resume", "--notify", "CONVNN_NOTIFY", "--storage", str(tmp_path), "none"]
    )
