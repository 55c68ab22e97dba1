"""`--notify`: sends a message when a sweep has ended, paused or failed.

The address or command is secret. It is removed from this process's command line and environment before anything is
recorded, and neither the sweep nor its workers see it.
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
from tune_jobs.system.redaction import NOTIFY, NOTIFY_OPTION, without_notify, without_password

if TYPE_CHECKING:
    from tune_jobs.driver.limits import Halt
    from tune_jobs.results.summary import Summary

Event = Literal["ended", "paused", "failed"]
_PAUSES = ("signal", "budget", "disk")
_WORDS: dict[Event, str] = {"ended": "has ended", "paused": "is paused", "failed": "has failed"}


def _hidden(given: str | None) -> str | None:
    """Return the target, and hide it from the rest of this process."""
    there = os.environ.pop(NOTIFY, None)
    sys.argv[:] = without_notify(sys.argv)[0]
    if given == NOTIFY and there is None:
        raise typer.BadParameter(f"{NOTIFY} stands for the environment variable, which is not set; give an address.")
    target = there if given == NOTIFY else given
    return target.strip() if target else None


Notify = Annotated[
    str | None,
    typer.Option(
        NOTIFY_OPTION,
        metavar="URL|COMMAND",
        envvar=NOTIFY,
        callback=_hidden,
        help="Send a message when the sweep ends, pauses or fails: an address receives a POST of JSON, a command the "
        "same JSON on standard input. Never recorded.",
    ),
]


class Notifier:
    """Sends one message about a run of a sweep; without a target it does nothing."""

    def __init__(self, target: str | None, folder: SweepFolder, again: str, role: Role = SEARCH) -> None:
        """Prepare the message, without sending.

        Args:
            target: The value of the option.
            folder: The sweep's folder.
            again: The command that resumes the sweep.
            role: The role of the trials in this run.

        Raises:
            UsageError: If the target is neither an address nor a command on this machine.
        """
        if target is not None:
            require_target(target)
        self._target = target
        self.again = again
        self._folder, self._role = folder, role
        self._event: Event | None = None
        self._sent: Notification | None = None

    def ended(
        self,
        halt: "Halt | None",
        *,
        all_failed: bool,
        others_left: bool = False,
        result: str | None = None,
        found: "Summary | None" = None,
    ) -> None:
        """Report that the run has ended or was stopped.

        Args:
            halt: Why it was stopped.
            all_failed: Whether every trial failed.
            others_left: Whether only the retried trials have ended, and other trials of the sweep are left.
            result: The result in words.
            found: The summary of the sweep; read from the record if `None`.
        """
        if halt is not None and halt.cause != "enough":
            self._send("paused" if halt.cause in _PAUSES else "failed", halt.message, found)
        elif all_failed:
            self._send("failed", halt.message if halt else result, found)
        elif halt is None and others_left:
            self._send("paused", "the retried trials have ended", found)
        else:
            self._send("ended", halt.message if halt else result, found)

    def interrupted(self) -> None:
        """Report that a signal ended the run immediately."""
        self._send("paused", "interrupted by a signal")

    def failed(self, error: Exception) -> None:
        """Report that an error ended the run, except a user's mistake or a sweep that is already running."""
        if not isinstance(error, UsageError | SpecError | InUseError):
            self._send("failed", (str(error).splitlines() or [type(error).__name__])[0])

    def close(self) -> None:
        """Wait for the message, and print one line on standard error: delivered or not."""
        if self._sent is not None:
            try:
                failure = self._sent.failure()
            except KeyboardInterrupt:  # the exit code is still that of the sweep
                failure = "interrupted"
            delivered = f"notified: the sweep {_WORDS[self._event or 'ended']}" if failure is None else None
            print(delivered or f"convnn: the notification was not delivered: {failure}.", file=sys.stderr, flush=True)
            self._sent = None

    def _send(self, event: Event, reason: str | None, found: "Summary | None" = None) -> None:
        if self._target is not None and self._event is None:
            self._event = event
            with contextlib.suppress(SweepError, OSError):
                found = found or _recorded(self._folder, self._role)
            content = self._content(event, without_password(reason) if reason else None, _numbers(found, self._role))
            self._sent = Notification(self._target, content)

    def _content(self, event: Event, reason: str | None, found: dict[str, Any]) -> dict[str, Any]:
        name = self._folder.name if self._role == SEARCH else f"confirmation of {self._folder.name}"
        parts = [f"{name} {_WORDS[event]}"]
        if found["trials"]:
            failed = found["trials"]["failed"]
            parts.append(
                plural(found["trials"]["ended"], "trial") + " ended" + (f", {failed} failed" if failed else "")
            )
        if found["best"]:
            parts.append(f"best {found['metric']} {found['best']['text']}")
        again = self.again if event != "ended" else None
        text = "; ".join([*parts, *([reason.rstrip(".")] if reason else [])])
        return {
            "text": f"{text}. To resume: {again}" if again else f"{text}.",
            "event": event,
            "sweep": self._folder.name,
            "role": self._role,
            "reason": reason,
            **found,
            "resume": again,
            "host": socket.gethostname(),
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }


def _recorded(folder: SweepFolder, role: Role) -> "Summary | None":
    from tune_jobs.record.ledger import Ledger
    from tune_jobs.results.history import by_role

    with closing(Ledger(folder.ledger)) as ledger:
        return by_role(folder.name, ledger).get(role)


def _numbers(found: "Summary | None", role: Role) -> dict[str, Any]:
    """Return the numbers of trials and the best one."""
    if found is None:
        return {"trials": None, "metric": None, "best": None}
    best = found.best if role == SEARCH else None
    return {
        "trials": {"ended": found.ended, "failed": found.count("failed", "diverged"), "planned": found.planned},
        "metric": found.metric,
        "best": best and {"trial": best.number, "value": found.best_value, "text": found.best_said},
    }
