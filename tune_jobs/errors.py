"""What a person can fix, and the exit codes of `convnn`; messages give the rule, the value received and the way out.

SweepError              exit code 1
    UsageError          2: the command line or the file is wrong
    LedgerError         1: the sweep's record cannot be used
        InUseError      1: another process runs the sweep
    ClusterError        4: Ray cannot be started, or the cluster cannot be reached
        RayError        4: Ray itself does not work
    TrackerError        4: MLflow cannot be reached, or refuses
"""

from enum import IntEnum
from itertools import groupby
from typing import Self


class ExitCode(IntEnum):
    """How `convnn` ends; its help and the documentation say what these lines say."""

    meaning: str
    detail: str

    def __new__(cls, code: int, meaning: str, detail: str) -> Self:
        made = int.__new__(cls, code)
        made._value_ = code
        made.meaning, made.detail = meaning, detail
        return made

    DONE = 0, "done", "The command did what it is for. A sweep that `stopping.enough` ended is done, too."
    FAILED = (
        1,
        "failed",
        "An error, every trial failed, a check of `convnn doctor` failed, or a full disk or failures stopped a sweep.",
    )
    USAGE = 2, "the command line or the file is wrong", "Nothing was started."
    SOME_FAILED = (
        3,
        "finished, but some trials failed",
        "`convnn retry SWEEP --failed` runs those again, after `convnn confirm` its `--retry`.",
    )
    UNREACHABLE = 4, "the cluster or the tracker cannot be reached", "Also: Ray does not start, or MLflow refuses."
    BUDGET = 5, "the budget is used up", "`convnn resume SWEEP --set budget.gpu_hours=48` gives it more."
    DIFFERENT = 6, "a replayed trial has other numbers", "Only `convnn replay`."
    HANGUP = 129, "interrupted", "SIGHUP: the terminal was closed."
    INTERRUPT = 130, "interrupted", "SIGINT: Ctrl-C."
    TERMINATED = 143, "interrupted", "SIGTERM: `convnn stop`, `kill`, or Slurm's time limit."


def exit_codes() -> str:
    """All of them in one sentence."""
    parts = []
    for meaning, alike in groupby(ExitCode, key=lambda code: code.meaning):
        *others, last = (str(code.value) for code in alike)
        parts.append(f"{', '.join(others)} and {last} {meaning}" if others else f"{last} {meaning}")
    return "; ".join(parts) + "."


class SweepError(Exception):
    """Any of the errors below."""

    exit_code = ExitCode.FAILED


class UsageError(SweepError):
    """The command line or the file is wrong."""

    exit_code = ExitCode.USAGE


class LedgerError(SweepError):
    """A sweep folder that cannot be used."""


class InUseError(LedgerError):
    """A sweep that another process runs."""


class ClusterError(SweepError):
    """Ray cannot be started, or the cluster cannot be reached."""

    exit_code = ExitCode.UNREACHABLE


class RayError(ClusterError):
    """Ray itself does not work; its logs may say why."""


class TrackerError(SweepError):
    """MLflow cannot be reached, or refuses."""

    exit_code = ExitCode.UNREACHABLE
