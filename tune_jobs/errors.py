"""Errors that users can fix, and the exit codes of `convnn`.

Each message gives the rule, the value received and the way out.

SweepError              exit code 1
    UsageError          2: the command line or the file is wrong
    LedgerError         1: the sweep's record cannot be used
        InUseError      1: another process is running the sweep
    ClusterError        4: Ray cannot start, or the cluster is unreachable
        RayError        4: Ray itself does not work
    TrackerError        4: MLflow is unreachable or refuses a request
"""

from enum import IntEnum
from itertools import groupby
from typing import Self


class ExitCode(IntEnum):
    """The exit codes of `convnn`. Its help and the documentation show these texts."""

    meaning: str
    detail: str

    def __new__(cls, code: int, meaning: str, detail: str) -> Self:
        made = int.__new__(cls, code)
        made._value_ = code
        made.meaning, made.detail = meaning, detail
        return made

    DONE = 0, "done", "The command succeeded. A sweep that `stopping.enough` ended is also done."
    FAILED = (
        1,
        "failed",
        (
            "An error, or every trial failed. Also: a check of `convnn doctor` failed, or a full disk or too many "
            "failures stopped a sweep."
        ),
    )
    USAGE = 2, "the command line or the file is wrong", "Nothing was started."
    SOME_FAILED = (
        3,
        "finished, but some trials failed",
        "To run those again: `convnn retry SWEEP --failed`, or `convnn confirm SWEEP --retry` after a confirmation.",
    )
    UNREACHABLE = (
        4,
        "the cluster or the tracker cannot be reached",
        "Also: Ray does not start, or MLflow refuses a request.",
    )
    BUDGET = 5, "the budget is used up", "To raise it: `convnn resume SWEEP --set budget.gpu_hours=48`."
    DIFFERENT = 6, "a replayed trial gives different numbers", "Only `convnn replay`."
    HANGUP = 129, "interrupted", "SIGHUP: the terminal was closed."
    INTERRUPT = 130, "interrupted", "SIGINT: Ctrl-C."
    TERMINATED = 143, "interrupted", "SIGTERM: `convnn stop`, `kill`, or Slurm's time limit."


def exit_codes() -> str:
    """Return all exit codes in one sentence."""
    parts = []
    for meaning, alike in groupby(ExitCode, key=lambda code: code.meaning):
        *others, last = (str(code.value) for code in alike)
        parts.append(f"{', '.join(others)} and {last} {meaning}" if others else f"{last} {meaning}")
    return "; ".join(parts) + "."


class SweepError(Exception):
    """Base class of the errors below."""

    exit_code = ExitCode.FAILED


class UsageError(SweepError):
    """The command line or the file is wrong."""

    exit_code = ExitCode.USAGE


class LedgerError(SweepError):
    """A sweep folder that cannot be used."""


class InUseError(LedgerError):
    """Another process is running the sweep."""


class ClusterError(SweepError):
    """Ray cannot start, or the cluster is unreachable."""

    exit_code = ExitCode.UNREACHABLE


class RayError(ClusterError):
    """Ray itself does not work; its logs may say why."""


class TrackerError(SweepError):
    """MLflow is unreachable or refuses a request."""

    exit_code = ExitCode.UNREACHABLE
