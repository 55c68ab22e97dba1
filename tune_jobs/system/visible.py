"""Safe printing: control characters in text are shown as escapes, so that they cannot control the terminal.

Names, paths, logs and messages come from files, clusters and trackers, and may contain anything. So every program of
this project prints through `visible_streams`. Only `display.console` bypasses it, to print colors.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import TextIOWrapper
from typing import Any, TextIO, cast

_COMMANDS = re.compile(
    "[\x00-\x08\x0b-\x1f"  # escape sequences, overwriting; not tab and line feed
    "\x7f-\x9f"  # delete, and the same sequences in one character
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # text direction: the text shown would differ from the text itself
    "\u2028\u2029"  # line breaks in some programs
    "\ud800-\udfff]"  # bytes of a path that are not text
)
_ASCII_CONTROLS = 0x20


def visible(text: str) -> str:
    r"""Replace control characters with escapes: `\x1b`, and from DEL on `\u202e`, as in JSON, so JSON stays valid."""
    return _COMMANDS.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < _ASCII_CONTROLS else f"\\u{code:04x}"


class _Visible:
    """A stream that escapes control characters in the text written to it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        self.stream.write(visible(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a stream has
        return getattr(self.stream, name)


def made_visible(stream: TextIO) -> TextIO:
    """Wrap a stream so that control characters are escaped."""
    return stream if stream is None or isinstance(stream, _Visible) else cast("TextIO", _Visible(stream))


def obeying(stream: TextIO) -> TextIO:
    """Return the stream without the escaping, for callers that escape foreign text themselves."""
    return stream.stream if isinstance(stream, _Visible) else stream


@contextmanager
def visible_streams() -> Iterator[None]:
    """Escape control characters on standard output and standard error inside the `with` block.

    Characters that the stream's encoding lacks are escaped, too.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with redirect_stdout(made_visible(sys.stdout)), redirect_stderr(made_visible(sys.stderr)):
        yield
