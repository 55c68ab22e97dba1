"""`--notify`: tells somebody elsewhere that a sweep has ended, has paused or has failed.

The address or command is of whoever starts the sweep: it is taken out of this process's command line and environment
before anything is recorded, and neither the sweep nor its workers ever see it.
"""

import contextlib
import os
import socket
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from search_spaces import SpecError
from search_spaces.plurals import plural
from tune_jobs.errors import InUseError, SweepError, UsageError
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.rows import SEARCH, Role
from tune_jobs.system.notify import Notification, require_target
from tune_jobs.system.redaction import NOTIFY, without_password

if TYPE_CHECKING:
    from tune_jobs.driver.limits import Halt

What = Literal["ended", "paused", "failed"]
_PAUSES = ("signal", "budget", "disk")
_WORDS: dict[What, str] = {"ended": "has ended", "paused": "is paused", "failed": "has failed"}
_OPTION = "--notify"


def _taken(given: str | None) -> str | None:
    """The option's value, which nothing else of this process sees from here on."""
    os.environ.pop(NOTIFY, None)
    words, kept = iter(sys.argv), []
    for word in words:
        if word == _OPTION:
            next(words, None)
        elif not word.startswith(f"{_OPTION}="):
            kept.append(word)
    sys.argv[:] = kept
    return given or None


Notify = Annotated[
    str | None,
    typer.Option(
        _OPTION,
        metavar="URL|COMMAND",
        envvar=NOTIFY,
        callback=_taken,
        help="Is told when the sweep ends, pauses or fails: an address gets a POST of JSON, a command the same JSON as "
        "its standard input. Never recorded.",
    ),
]


class Notifier:
    """Tells of one run of a sweep, once; without a target it does nothing."""

    def __init__(self, target: str | None, folder: SweepFolder, again: str, role: Role = SEARCH) -> None:
        """Tell nothing yet.

        Args:
            target: From the option.
            folder: The sweep's.
            again: The command that goes on with it.
            role: Of the trials that are run.

        Raises:
            UsageError: If the target is neither an address nor a command of this machine.
        """
        if target is not None:
            require_target(target)
        self._target = target
        self.again = again
        self._folder, self._role = folder, role
        self._what: What | None = None
        self._sent: Notification | None = None

    def ended(self, halt: "Halt | None", *, all_failed: bool = False, said: str | None = None) -> None:
        """It has ended, or was halted; `said` is what it has come to."""
        if halt is None or halt.cause == "enough":
            self._send("failed" if all_failed else "ended", halt.message if halt else said)
        else:
            self._send("paused" if halt.cause in _PAUSES else "failed", halt.message)

    def interrupted(self) -> None:
        """A signal has ended it at once."""
        self._send("paused", "interrupted by a signal")

    def broke(self, error: Exception) -> None:
        """An error has ended it; a mistake of who started it, or a sweep that another process runs, is no news."""
        if not isinstance(error, UsageError | SpecError | FileNotFoundError | InUseError):
            self._send("failed", (str(error).splitlines() or [type(error).__name__])[0])

    def close(self) -> None:
        """Wait for it, and say in a line on standard error what became of it."""
        if self._sent is not None:
            failure = self._sent.failure()
            told = f"notified: the sweep {_WORDS[self._what or 'ended']}" if failure is None else None
            print(told or f"convnn: the notification was not delivered: {failure}.", file=sys.stderr, flush=True)
            self._sent = None

    def _send(self, what: What, reason: str | None) -> None:
        if self._target is not None and self._what is None:
            self._what = what
            self._sent = Notification(self._target, self._content(what, without_password(reason) if reason else None))

    def _content(self, what: What, reason: str | None) -> dict[str, Any]:
        found: dict[str, Any] = {"trials": None, "metric": None, "best": None}
        with contextlib.suppress(SweepError, OSError):
            found = _numbers(self._folder, self._role)
        name = self._folder.name if self._role == SEARCH else f"confirmation of {self._folder.name}"
        parts = [f"{name} {_WORDS[what]}"]
        if found["trials"]:
            failed = found["trials"]["failed"]
            parts.append(
                plural(found["trials"]["ended"], "trial") + " ended" + (f", {failed} failed" if failed else "")
            )
        if found["best"]:
            parts.append(f"best {found['metric']} {found['best']['said']}")
        again = self.again if what != "ended" else None
        text = "; ".join([*parts, *([reason.rstrip(".")] if reason else [])])
        return {
            "text": f"{text}. To go on: {again}" if again else f"{text}.",
            "event": what,
            "sweep": self._folder.name,
            "role": self._role,
            "reason": reason,
            **found,
            "resume": again,
            "host": socket.gethostname(),
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }


def _numbers(folder: SweepFolder, role: Role) -> dict[str, Any]:
    """How the trials stand, from the record."""
    from tune_jobs.record.ledger import Ledger
    from tune_jobs.results.history import by_role

    with closing(Ledger(folder.ledger)) as ledger:
        found = by_role(folder.name, ledger).get(role)
    if found is None:
        return {"trials": None, "metric": None, "best": None}
    best = found.best if role == SEARCH else None
    return {
        "trials": {"ended": found.ended, "failed": found.count("failed", "diverged"), "planned": found.planned},
        "metric": found.metric,
        "best": best and {"trial": best.number, "value": found.best_value, "said": found.best_said},
    }
