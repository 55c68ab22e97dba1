"""Progress output while a sweep runs; failing output does not end a sweep."""

import io
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from search_spaces import TrialConfig
from tune_jobs.display import live, startup
from tune_jobs.display.console import TextConsole
from tune_jobs.display.live import LiveTable, LogLines, Progress, Steady
from tune_jobs.display.running import Running
from tune_jobs.display.startup import Startup
from tune_jobs.events import Ended, EpochEnded, Event, Job, Loading, Resumed, Started
from tune_jobs.record.rows import Usage
from tune_jobs.results.columns import Column
from tune_jobs.results.summary import Summary

PROGRAM = """
import sys
from tune_jobs.display.console import TextConsole
from tune_jobs.display.live import LogLines, Steady
with Steady(LogLines(TextConsole())) as progress:
    for number in range(100_000):
        progress.say(f"line {number}")
print("done", file=sys.stderr)
"""


def test_an_unwritable_file_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    with (tmp_path / "log").open() as unwritable:
        with pytest.raises(OSError, match="not writable"):
            LogLines(TextConsole(file=unwritable)).say("not steady")
        with Steady(LogLines(TextConsole(file=unwritable))) as progress:
            progress.say("this is lost")
            progress.say("and this")


def test_a_closed_pipe_ends_nothing() -> None:
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stderr is not None
        assert writer.stdout.readline() == "line 0\n"
        writer.stdout.close()
        assert writer.stderr.read() == "done\n"
        assert writer.wait() == 0


CONFIG = TrialConfig.model_validate(
    {"model": {"name": "vgg11", "layer": {"kind": "hybrid", "lambda": 0.25, "k": 4}}, "training": {"epochs": 5}}
)
JOB, AGAIN = Job("key", 1, 7, CONFIG), Job("key", 2, 7, CONFIG)


COLUMNS = [Column("lambda", "lambda"), Column("k", "k"), Column("r", "r")]


def told(events: list[Event]) -> list[str]:
    """Return the lines of events, without their times."""
    out = io.StringIO()
    lines: Progress = LogLines(TextConsole(file=out, width=40))
    with lines:
        lines.expect("val/accuracy", COLUMNS)
        for event in events:
            lines.take(event)
    return [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in out.getvalue().splitlines()]


def epoch(number: int, accuracy: float) -> EpochEnded:
    return EpochEnded(JOB, number, {"val/accuracy": accuracy, "epoch_s": 3.0})


def test_each_event_is_a_line_and_an_ended_trial_has_its_value() -> None:
    events: list[Event] = [
        Started(JOB),
        Started(AGAIN),
        Resumed(AGAIN, 3, "skipped [2]"),
        epoch(4, 0.5),
        Ended(AGAIN, "complete"),
    ]
    assert told(events) == [
        "trial 7 started: lambda 0.25, k 4",
        "trial 7 started, attempt 2: lambda 0.25, k 4",
        "trial 7: skipped [2]",
        "trial 7 resumed after epoch 3",
        "trial 7 complete: val/accuracy 50.00% at epoch 4",
    ]
    assert told([Resumed(JOB, 0, None)]) == []


def test_a_line_says_what_the_worker_loads_until_the_first_trial_trains() -> None:
    other = Job("other", 1, 8, CONFIG)
    later: list[Event] = [Loading(other), Resumed(other, 0, None)]
    assert told([Started(JOB), Loading(JOB), Resumed(JOB, 0, None), *later]) == [
        "trial 7 started: lambda 0.25, k 4",
        "trial 7: loading torch, the images and the model ...",
        "trial 7 is training",
    ]


def test_a_slow_step_of_the_start_is_repeated_with_its_time() -> None:
    now = [100.0]
    starting = Startup(lambda: now[0])
    starting.said("sweep mine in /sweeps/mine")
    now[0] += 9
    assert starting.overdue() is None
    starting.said("starting Ray ...")
    now[0] += 1.4
    assert starting.overdue() is None
    now[0] += 0.6
    assert starting.overdue() == "starting Ray ... 2 s"
    starting.said("starting Ray ... 2 s")
    now[0] += 1.4
    assert starting.overdue() is None
    starting.take(Started(JOB))
    now[0] += 3
    assert starting.overdue() == "starting the workers ... 3 s"
    starting.take(epoch(1, 0.5))
    starting.said("syncing remaining metrics to MLflow ...")
    now[0] += 3
    assert starting.overdue() is None


def test_log_lines_and_live_table_repeat_a_slow_step_without_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "SILENT_S", 0.0)
    monkeypatch.setattr(live, "LOOK_S", 0.05)
    for terminal, shown in ((False, LogLines), (True, LiveTable)):
        out = io.StringIO()
        with shown(TextConsole(file=out, width=80, force_terminal=terminal)) as progress:
            progress.say("starting Ray ...")
            deadline = time.monotonic() + 20
            while "starting Ray ... 0 s" not in out.getvalue() and time.monotonic() < deadline:
                time.sleep(0.05)
        assert "starting Ray ... 0 s" in out.getvalue()


def test_an_ended_trial_has_its_reason_and_what_follows() -> None:
    ends: list[Event] = [
        Ended(JOB, "failed", "the process died", "lost_worker", "again"),
        Ended(JOB, "failed", "the process died", "lost_worker", "final"),
        Ended(JOB, "diverged", "the loss is nan", "diverged", "final"),
        Ended(JOB, "interrupted", "no room", "disk_full", "pause"),
    ]
    assert told(ends) == [
        "trial 7 failed (lost_worker, the process died); will be retried",
        "trial 7 failed (lost_worker, the process died)",
        "trial 7 diverged (the loss is nan)",
        "trial 7 interrupted (disk_full, no room); the sweep pauses",
    ]


def test_an_epoch_is_a_line_only_if_its_trial_had_none_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told([Started(JOB), epoch(2, 0.51234)])[1:] == []
    monkeypatch.setattr(live, "HEARTBEAT_S", 0.0)
    assert told([Started(JOB), epoch(2, 0.51234)])[1:] == ["trial 7 epoch 2/5, val/accuracy 51.23%"]


def test_a_trial_with_long_epochs_still_reports_its_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_S", 0.2)
    monkeypatch.setattr(live, "LOOK_S", 0.05)
    out = io.StringIO()
    with LogLines(TextConsole(file=out, width=80)) as lines:
        lines.take(Started(JOB))
        deadline = time.monotonic() + 20
        while "epoch 0/5" not in out.getvalue() and time.monotonic() < deadline:
            time.sleep(0.05)
    assert "trial 7 epoch 0/5" in out.getvalue()


def test_the_live_table_has_the_running_trials_and_the_time_left() -> None:
    now = [100.0]
    running = Running("val/accuracy", COLUMNS, lambda: now[0])
    running.take(Started(JOB))
    now[0] = 110.0
    running.take(epoch(1, 0.25))
    now[0] = 113.0
    table = running.table()
    assert table is not None
    console = TextConsole(file=io.StringIO(), width=160)
    with console.capture() as said:
        console.print(table)
    head, line = said.get().splitlines()
    assert head.split() == ["running", "epoch", "val/accuracy", "per", "epoch", "this", "epoch", "lambda", "k", "r"]
    assert line.split() == ["7", "1/5", "25.00%", "3.0", "s", "3.0", "s", "0.25", "4", "-"]
    planned = Summary("mine", "val/accuracy", "maximize", 3, Usage(0, 0, 0, 0), {}, None, [])
    assert running.left_s(planned) == 14 * 13.0  # epochs of the other two trials and of this one, at the speed so far
    running.take(Ended(JOB, "complete"))
    assert running.table() is None


def test_a_signal_is_acknowledged_immediately(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with LogLines(TextConsole(file=sys.__stderr__, quiet=True)) as lines:
        lines.acknowledge("stopping")
    with LogLines(TextConsole(file=io.StringIO())) as lines:
        lines.acknowledge("stopping")  # it has no descriptor
    assert capfd.readouterr().err == ""
    with (tmp_path / "log").open("w") as file, LogLines(TextConsole(file=file)) as lines:
        lines.acknowledge("stopping")
        assert (tmp_path / "log").read_text() == "stopping\n"
    out = io.StringIO()
    with LiveTable(TextConsole(file=out, force_terminal=True, width=160, height=30)) as table:
        table.acknowledge("stopping")
    assert "stopping" in out.getvalue()


def test_a_terminal_has_a_table_with_a_failure_under_it() -> None:
    out = io.StringIO()
    table: Progress = LiveTable(TextConsole(file=out, force_terminal=True, width=160, height=30))
    summary = Summary("mine", "val/accuracy", "maximize", 9, Usage(0, 0, 0, 0), {}, None, [])
    with table:
        table.take(Ended(JOB, "failed", "the process died", "lost_worker", "again"))
        table.show(lambda: summary)
    said = out.getvalue()
    assert "mine: 0 of 9 trials ended" in said
    assert "Ctrl-C stops; nothing is lost" in said
    assert "trial 7: lost_worker, the process died; will be retried" in said


FOREIGN = "\x1b[2J\x9b1m\rgone \u202eback [red]no color[/red] :smile:"
SEEN = "\\x1b[2J\\u009b1m\\x0dgone \\u202eback [red]no color[/red] :smile:"


def test_control_characters_in_a_reason_never_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    end = Ended(JOB, "failed", FOREIGN, "lost_worker", "final")
    assert told([end]) == [f"trial 7 failed (lost_worker, {SEEN})"]
    out = io.StringIO()
    streams = sys.stdout, sys.stderr
    console = TextConsole(file=out, force_terminal=True, width=160, height=30)
    with LiveTable(console) as table:
        table.say(f"said {FOREIGN}")
    with LiveTable(console) as table:
        table.take(end)
        table.show(lambda: Summary(FOREIGN, FOREIGN, "maximize", 9, Usage(0, 0, 0, 0), {}, None, []))
        print(f"printed {FOREIGN}")
        print(f"warned {FOREIGN}", file=sys.stderr)
    assert (sys.stdout, sys.stderr) == streams
    assert capsys.readouterr() == ("", "")
    said = out.getvalue()
    for text in (f"said {SEEN}", f"lost_worker, {SEEN}", f"{SEEN}: 0 of 9", f"printed {SEEN}", f"warned {SEEN}"):
        assert text in said
    assert not [command for command in ("\x1b[2J", "\x9b", "\rgone", "\u202e") if command in said]
