"""The end of a sweep: a report, the next commands, and an exit code."""

import signal

import pytest
import typer

from tests.tune_jobs.shipping import Recorded
from tests.tune_jobs.webhook import webhook
from tune_jobs.cli.shared.notifying import Notifier
from tune_jobs.cli.shared.running import continued, exit_code, follow
from tune_jobs.driver.limits import Halt
from tune_jobs.driver.run import Outcome
from tune_jobs.results.summary import read_summary
from tune_jobs.tracking.base import Tracked

KEPT = Tracked("http://tracker", "mine", "http://tracker/#/experiments/1")


def outcome(sweep: Recorded, halt: Halt | None = None, tracked: Tracked = KEPT) -> Outcome:
    return Outcome(sweep.folder, read_summary(sweep.folder), exhausted=False, halt=halt, tracked=tracked)


@pytest.fixture
def sweep(sweep: Recorded) -> Recorded:
    sweep.folder.spec.write_text("name: tracked\nspace: {model: {name: vgg11, layer: {kind: conv2d}}}\n")
    return sweep


def test_the_exit_code_tells_how_the_sweep_ended(sweep: Recorded) -> None:
    sweep.attempt([1], "failed", "a mistake", "user_error", trial="a")
    assert exit_code(outcome(sweep)) == 1
    sweep.attempt([1], "complete", trial="b")
    assert exit_code(outcome(sweep)) == 3
    assert exit_code(outcome(sweep, Halt("budget", "it is used up"))) == 5
    assert exit_code(outcome(sweep, Halt("disk", "it is full"))) == 1
    assert exit_code(outcome(sweep, Halt("signal", "stopped", signal.SIGTERM))) == 143


def test_an_unfinished_sweep_whose_retried_trials_have_ended_is_paused(sweep: Recorded) -> None:
    sweep.attempt([1], "complete")
    sweep.ledger.meta.planned = 2
    found, storage = outcome(sweep), sweep.folder.path.parent
    sweep.attempt([1], "complete", trial="b")  # the message contains the numbers of the outcome
    with webhook() as hook:
        for command in ("retry", "resume"):
            with pytest.raises(typer.Exit):
                continued(
                    command,
                    "tracked",
                    [],
                    lambda *_, **__: found,
                    address=None,
                    storage=storage,
                    accept_code=False,
                    notify=hook.address,
                    detach=False,
                    as_json=False,
                )
    paused, ended = hook.posted
    assert (paused["event"], paused["reason"]) == ("paused", "the retried trials have ended")
    assert (paused["trials"]["ended"], paused["resume"]) == (1, f"convnn resume tracked --storage '{storage}'")
    assert ended["event"] == "ended"


def test_an_interrupt_while_the_message_is_sent_is_reported_and_goes_no_further(
    sweep: Recorded, capfd: pytest.CaptureFixture[str]
) -> None:
    notifier = Notifier("sh -c 'sleep 0.2; kill -INT $PPID; exec sleep 1'", sweep.folder, "")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        notifier.interrupted()
        notifier.close()
    finally:
        signal.signal(signal.SIGINT, before)
    assert capfd.readouterr().err == "convnn: the notification was not delivered: interrupted.\n"


def said(sweep: Recorded, found: Outcome, capsys: pytest.CaptureFixture[str], *, code: int) -> str:
    with pytest.raises(typer.Exit) as ended:
        follow(lambda _: found, Notifier(None, sweep.folder, "convnn resume tracked"), as_json=False)
    assert ended.value.exit_code == code
    return "".join(capsys.readouterr())


def test_failed_trials_are_shown_with_their_logs_and_the_retry_command(
    sweep: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep.attempt([1], "complete", trial="a")
    for number in range(11):
        sweep.attempt([1], "failed", "a mistake", "user_error", trial=f"b{number}")
    log = sweep.folder.log_of("b10")
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("epoch 1\nno such image\x1b[2J\n\n")
    told = said(sweep, outcome(sweep), capsys, code=3)
    assert "\nBest: trial 1, val/accuracy 11.00%\n" in told
    assert (
        "\n11 trials failed (user_error): 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, and 1 more: convnn show tracked\n"
        "  a mistake\n"
        f"  last line of its log: no such image\\x1b[2J\n  log: {log}\n"
    ) in told
    assert told.count("a mistake") == 1
    assert "\n  convnn retry tracked --failed\n" in told
    assert "\n  http://tracker/#/experiments/1\n" in told


def test_missing_results_on_a_tracker_are_reported_with_the_sync_command(
    sweep: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep.attempt([1], "complete")
    away = Tracked("sqlite:////a folder/mlflow.db", "mine", None, "a tracker is missing results: it is locked")
    told = said(sweep, outcome(sweep, tracked=away), capsys, code=0)
    assert "\na tracker is missing results: it is locked.\n" in told
    assert "MLflow at" not in told
    assert "\n  convnn sync tracked\n" in told
    assert "Compare its trials in MLflow:\n  convnn ui tracked\n" in told


@pytest.mark.parametrize(
    ("halt", "code", "words"),
    [
        (Halt("budget", "the budget of 3 trials is used up"), 5, "The sweep has stopped: the budget of 3 trials"),
        (Halt("signal", "stopped", signal.SIGINT), 130, "Resume with:\n  convnn resume tracked\n"),
    ],
)
def test_the_reason_of_a_stop_is_printed(
    sweep: Recorded, capsys: pytest.CaptureFixture[str], halt: Halt, code: int, words: str
) -> None:
    sweep.attempt([1], "complete")
    assert words in said(sweep, outcome(sweep, halt), capsys, code=code)
