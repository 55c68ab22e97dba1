"""The result of a small job, sent back through its log, which is text and has other lines, too.

A result is a series of lines `MARK kind content`: parts in base64, then a digest of all parts; or an error instead. The
digest reveals a truncated log.
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
"""Size of a part: in base64 a line of 16,000 characters, which Ray's log stream sends as a whole."""

KEPT_S = 300.0
"""Keep an unread result for this long: longer than a follower waits before it reopens a broken stream.

A result that is being read is kept for as long as that takes.
"""

_LOG = "job-driver-"
_FIRST_LINES = 5
_KEPT_LINES = 1000
_LONGEST_LINE = 100_000


class Sender:
    """A file-like object that sends what is written to it; call `end` when it is complete."""

    def __init__(self, out: IO[str] | None = None) -> None:
        self._out = out or sys.stdout
        self._digest = hashlib.sha256()

    def write(self, content: bytes) -> int:
        """Send `content`; return its length."""
        for start in range(0, len(content), PART_BYTES):
            part = bytes(content[start : start + PART_BYTES])
            self._digest.update(part)
            self._line("part", part)
        return len(content)

    def end(self) -> None:
        """Mark the end of the result."""
        self._line("end", self._digest.digest())
        self._out.flush()

    def fail(self, error: SweepError) -> None:
        """Send an error instead of a result."""
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
    """Remove the logs of earlier jobs that hold a result and are not being read. Ray would keep them until it ends.

    They are in the same folder as this job's own log, which is its standard output.
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
    """Return the files that local processes have open, as far as permitted; Ray's agent opens a log to download it."""
    found = set()
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    found.add(descriptor.readlink())
    return found


class Receiver:
    """Takes a log piece by piece, and writes the result in it to a file.

    Args:
        into: The file.
        source: The address of the cluster.
        most: Maximum size of the result in bytes.
    """

    def __init__(self, into: IO[bytes], source: str, most: int = LARGEST_REPLY) -> None:
        self.whole = False
        """Whether the complete result has arrived."""

        self.other: deque[str] = deque(maxlen=_KEPT_LINES)
        """The last of the log's other lines."""

        self._into = into
        self._source = source
        self._left = most
        self._digest = hashlib.sha256()
        self._line = ""

    def take(self, text: str) -> None:
        """Take the next piece of the log.

        Raises:
            SweepError: The error in the result, if it is one; a ClusterError if the result is damaged or too large.
        """
        *lines, rest = (self._line + text).split("\n")
        self._line = rest[:_LONGEST_LINE]  # no line of a result is longer
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
                raise malformed(self._source, "an answer larger than the limit, or than the free disk space")
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
        return ClusterError(f"the answer of the cluster at {self._source} arrived damaged; try again.")
