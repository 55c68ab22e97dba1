"""Tells somebody elsewhere in a few words: a POST to a web address, or a command of theirs.

Whatever goes wrong hurts nobody: it fails, and after NOTIFY_S it is given up. An address is a secret, as whoever knows
it may write there: no message has it.
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

from tune_jobs.errors import UsageError
from tune_jobs.system.json_text import json_text

NOTIFY_S = 5.0
_REDIRECTS = 300
_WEB = ("http://", "https://")


def require_target(target: str, *, here: bool = True) -> None:
    """Refuse what is neither a web address nor a command; `here`: one of this machine.

    Raises:
        UsageError: Without the target itself.
    """
    if target.lower().startswith(_WEB):
        return
    rule = "--notify (or CONVNN_NOTIFY) must be an http:// or https:// address, or a command"
    try:
        words = _words(target)
    except ValueError:
        raise UsageError(f"{rule}; a quotation mark is not closed in it.") from None
    if not words:
        raise UsageError(f"{rule}; it is empty.")
    if "://" in words[0]:
        raise UsageError(f"{rule}, got an address that begins with {words[0].partition('://')[0]}://.")
    if here and shutil.which(words[0]) is None:
        raise UsageError(f"{rule}, and there is no program {words[0]!r}; give its path.")


class Notification:
    """One that is on its way."""

    def __init__(self, target: str, content: dict[str, Any]) -> None:
        """Send it, in the background.

        Args:
            target: An address, which gets the content as JSON, or a command, which gets it as its standard input.
            content: What JSON can hold.
        """
        self._deadline = time.monotonic() + NOTIFY_S
        self._failure: str | None = f"no answer within {NOTIFY_S:g} s"
        text = json_text(content, indent=None)
        self._thread = threading.Thread(target=self._send, args=(target, text.encode()), name="notify", daemon=True)
        self._thread.start()

    def failure(self) -> str | None:
        """Wait for it, as long as that may take; why it failed, if it did."""
        self._thread.join(max(0.0, self._deadline - time.monotonic()) + 0.5)  # a command is killed meanwhile
        return self._failure

    def _send(self, target: str, content: bytes) -> None:
        try:
            self._failure = (_post if target.lower().startswith(_WEB) else _run)(target, content)
        except Exception as error:  # noqa: BLE001 - a sweep is as good without; its text may have the address
            self._failure = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def _post(address: str, content: bytes) -> str | None:
    import requests

    headers = {"Content-Type": "application/json"}
    options: dict[str, Any] = {"allow_redirects": False, "stream": True}  # what it answers beyond a status is not read
    with requests.post(address, content, headers=headers, timeout=NOTIFY_S, **options) as answer:
        return None if answer.status_code < _REDIRECTS else f"the address answered with status {answer.status_code}"


def _run(command: str, content: bytes) -> str | None:
    process = subprocess.Popen(  # noqa: S603 - the user's own
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
    return [os.path.expanduser(first), *others] if first else []  # noqa: PTH111 - a word, not a path of ours
