"""What people see while a sweep runs, where it cannot be shown."""

import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from tune_jobs.display.live import LogLines, Steady

PROGRAM = """
import sys
from rich.console import Console
from tune_jobs.display.live import LogLines, Steady
with Steady(LogLines(Console())) as progress:
    for number in range(100_000):
        progress.say(f"line {number}")
print("done", file=sys.stderr)
"""


def test_a_file_that_takes_no_lines_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    with (tmp_path / "log").open() as unwritable:
        with pytest.raises(OSError, match="not writable"):
            LogLines(Console(file=unwritable)).say("not steady")
        with Steady(LogLines(Console(file=unwritable))) as progress:
            progress.say("this is lost")
            progress.say("and this")


def test_a_reader_that_has_gone_away_ends_nothing() -> None:
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stderr is not None
        assert writer.stdout.readline() == "line 0\n"
        writer.stdout.close()
        assert writer.stderr.read() == "done\n"
        assert writer.wait() == 0
