"""What a small job finds out, sent back through its log, which is text and holds other lines too.

A result is lines of `MARK kind content`: parts in base64, then the digest of them all, or an error instead. A log that
is cut short is noticed.
"""

import base64
import contextlib
import hashlib
import itertools
import json
import sys
import time
from collections import deque
from pathlib import Path
from typing import IO

from tune_jobs import errors
from tune_jobs.cluster.gate import LARGEST_REPLY, Refusal, malformed, read_reply
from tune_jobs.errors import ClusterError, SweepError

MARK = "@convnn-reply"
PART_BYTES = 12_000
"""In base64 a line of 16,000 characters, which Ray's log stream sends whole."""

KEPT_S = 300.0
"""A result that nobody reads is kept for so long: more than a follower bears until it opens a broken stream anew.

One that is being read is kept, however long that takes.
"""

_LOG = "job-driver-"
_FIRST_LINES = 5
_KEPT_LINES = 1000
_LONGEST_LINE = 100_000


class Sender:
    """A file that is sent, as it is written; `end` when it is whole."""

    def __init__(self, out: IO[str] | None = None) -> None:
        self._out = out or sys.stdout
        self._digest = hashlib.sha256()

    def write(self, content: bytes) -> int:
        """Send `content`; its length."""
        for start in range(0, len(content), PART_BYTES):
            part = bytes(content[start : start + PART_BYTES])
            self._digest.update(part)
            self._line("part", part)
        return len(content)

    def end(self) -> None:
        """Say that this was all."""
        self._line("end", self._digest.digest())
        self._out.flush()

    def fail(self, error: SweepError) -> None:
        """Say that nothing comes, and why."""
        self._line("error", json.dumps({"kind": type(error).__name__, "message": str(error)}).encode())
        self._out.flush()

    def _line(self, kind: str, content: bytes) -> None:
        self._out.write(f"{MARK} {kind} {base64.b64encode(content).decode()}\n")


def send_bytes(content: bytes) -> None:
    """Send `content` as this job's result."""
    sender = Sender()
    sender.write(content)
    sender.end()


def send_error(error: SweepError) -> None:
    """Send `error` as this job's result."""
    Sender().fail(error)


def clear_results(older_s: float = KEPT_S) -> None:
    """Remove the logs of earlier jobs that hold a result and are not read, which Ray would keep as long as it runs.

    They lie beside this job's own log, which is its standard output.
    """
    try:
        own = Path("/proc/self/fd/1").readlink()
    except OSError:
        return
    if not own.name.startswith(_LOG):
        return
    results = {log for log in own.parent.glob(f"{_LOG}*.log") if log != own and _holds_result(log, older_s)}
    for log in results - _open_files() if results else ():
        with contextlib.suppress(OSError):
            log.unlink()


def _holds_result(log: Path, older_s: float) -> bool:
    try:
        if time.time() - log.stat().st_mtime <= older_s:
            return False
        with log.open(encoding="utf-8", errors="replace") as lines:
            return any(line.startswith(f"{MARK} ") for line in itertools.islice(lines, _FIRST_LINES))
    except OSError:
        return False


def _open_files() -> set[Path]:
    """The files that processes here have open, as far as we may look: Ray's agent, the log that somebody downloads."""
    found = set()
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    found.add(descriptor.readlink())
    return found


class Receiver:
    """Takes a log, piece by piece, and writes the result in it to a file.

    Args:
        into: The file.
        source: The address of the cluster whose log it is.
        most: Bytes that the result may have.
    """

    def __init__(self, into: IO[bytes], source: str, most: int = LARGEST_REPLY) -> None:
        self.whole = False
        """Whether the result has arrived to its end."""

        self.other: deque[str] = deque(maxlen=_KEPT_LINES)
        """The log's other lines, the last of them."""

        self._into = into
        self._source = source
        self._left = most
        self._digest = hashlib.sha256()
        self._line = ""

    def take(self, text: str) -> None:
        """Take the next piece of the log.

        Raises:
            SweepError: If the result is an error: that one. If it is damaged, or too large: a ClusterError.
        """
        *lines, rest = (self._line + text).split("\n")
        self._line = rest[:_LONGEST_LINE]  # no line of a result is so long
        for line in lines:
            self._take_line(line)

    def _take_line(self, line: str) -> None:
        if not line.startswith(f"{MARK} "):
            self.other.append(line[:_LONGEST_LINE])
            return
        kind, _, encoded = line.removeprefix(f"{MARK} ").partition(" ")
        try:
            content = base64.b64decode(encoded, validate=True)
        except ValueError as error:
            raise self._damaged() from error
        if kind == "part":
            self._left -= len(content)
            if self._left < 0:
                raise malformed(self._source, "an answer that is larger than it may be, or than has room")
            self._digest.update(content)
            self._into.write(content)
        elif kind == "end":
            self.whole = content == self._digest.digest()
            if not self.whole:
                raise self._damaged()
        elif kind == "error":
            said = read_reply(Refusal, content, self._source)
            known = getattr(errors, said.kind, None)
            raise (known if isinstance(known, type) and issubclass(known, SweepError) else SweepError)(said.message)
        else:
            raise self._damaged()

    def _damaged(self) -> ClusterError:
        return ClusterError(f"the answer of the cluster at {self._source} arrived damaged; ask again.")
