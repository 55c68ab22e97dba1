"""Sends a notification: a POST to a web address, or the standard input of a user's command.

An error has no effect on the caller, and a notification is given up after NOTIFY_S. The address is a secret, since
anyone who knows it can post to it: no message contains it.
"""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from tune_jobs.errors import UsageError
from tune_jobs.system.json_text import json_text

NOTIFY_S = 5.0
_REDIRECTS = 300
_WEB = ("http://", "https://")
_PATH = ("/", "./", "../", "~")


def require_target(target: str, *, here: bool = True) -> None:
    """Refuse a target that is neither a web address nor a command.

    Args:
        target: The address or command.
        here: Whether the command must exist on this machine.

    Raises:
        UsageError: If the target is invalid. The message contains no part of it, except the scheme of an address.
    """
    if (mistake := _mistake(target, here=here)) is not None:
        rule = "--notify (or CONVNN_NOTIFY) must be an http:// or https:// address, or a command"
        raise UsageError(f"{rule}{mistake}.")


def _mistake(target: str, *, here: bool) -> str | None:
    """Return what is wrong with a target, without the target; `None` if it is valid."""
    if target.lower().startswith(_WEB):
        try:
            return None if urlsplit(target).hostname else "; the address has no host"
        except ValueError:
            return "; the address is not valid"
    try:
        words = _words(target)
    except ValueError:
        return "; it contains an unclosed quotation mark"
    return _mistake_in_program(words[0], here=here) if words else "; it is empty"


def _mistake_in_program(program: str, *, here: bool) -> str | None:
    scheme, colon, _ = program.partition("://")
    if colon and scheme.isalpha():
        return f", got an address that starts with {scheme}://"
    if "=" in program or ("/" in program and not program.startswith(_PATH)):
        return "; it starts with neither https:// nor a program. Add https://, or write a program's path from / or ./"
    if here and shutil.which(program) is None:
        return "; its program was not found: give the program's path"
    return None


class Notification:
    """A notification that is being sent."""

    def __init__(self, target: str, content: dict[str, Any]) -> None:
        """Send the notification in the background.

        Args:
            target: An address, which receives the content as JSON, or a command, which receives it on standard input.
            content: Values that JSON can represent.
        """
        self._deadline = time.monotonic() + NOTIFY_S
        self._failure: str | None = f"no answer within {NOTIFY_S:g} s"
        text = json_text(content, indent=None)
        self._thread = threading.Thread(target=self._send, args=(target, text.encode()), name="notify", daemon=True)
        self._thread.start()

    def failure(self) -> str | None:
        """Wait until it is sent or the time limit is reached, and return the reason if it failed."""
        # The thread kills a command that takes too long.
        self._thread.join(max(0.0, self._deadline - time.monotonic()) + 0.5)
        return self._failure

    def _send(self, target: str, content: bytes) -> None:
        try:
            self._failure = (_post if target.lower().startswith(_WEB) else _run)(target, content)
        except Exception as error:  # noqa: BLE001 - must not stop the sweep; the text may contain the address
            self._failure = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def _post(address: str, content: bytes) -> str | None:
    import requests

    headers = {"Content-Type": "application/json"}
    options: dict[str, Any] = {"allow_redirects": False, "stream": True}  # only the status of the answer is read
    with requests.post(address, content, headers=headers, timeout=NOTIFY_S, **options) as answer:
        return None if answer.status_code < _REDIRECTS else f"the address answered with status {answer.status_code}"


def _run(command: str, content: bytes) -> str | None:
    process = subprocess.Popen(  # noqa: S603 - the user's command
        _words(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.communicate(content, timeout=NOTIFY_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return f"the command did not end within {NOTIFY_S:g} s and was killed"
    return None if process.returncode == 0 else f"the command ended with exit code {process.returncode}"


def _words(command: str) -> list[str]:
    first, *others = shlex.split(command) or [""]
    return [os.path.expanduser(first), *others] if first else []  # noqa: PTH111 - a word, not one of our paths
