"""Text as it can be printed: what would command a terminal is seen, and not obeyed.

Names, paths, logs and messages come from files, clusters and trackers, and may hold anything. So every program of ours
prints through `visible_streams`, whoever prints; colors are `display.console`'s alone, which passes them by.
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
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction of writing: what is read is not what is there
    "\u2028\u2029"  # line breaks to some
    "\ud800-\udfff]"  # bytes of a path that are no text
)
_ASCII_CONTROLS = 0x20


def visible(text: str) -> str:
    r"""The text with its commands as escapes: `\x1b`, and from DEL on `\u202e`, as JSON has them, which stays JSON."""
    return _COMMANDS.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < _ASCII_CONTROLS else f"\\u{code:04x}"


class _Visible:
    """A stream that makes what is written to it visible."""

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
    """A stream that shows what is written to it, and obeys nothing of it."""
    return stream if stream is None or isinstance(stream, _Visible) else cast("TextIO", _Visible(stream))


def obeying(stream: TextIO) -> TextIO:
    """The stream below, for whoever takes care of foreign text himself."""
    return stream.stream if isinstance(stream, _Visible) else stream


@contextmanager
def visible_streams() -> Iterator[None]:
    """Standard output and standard error show what is written to them, inside the `with`.

    What their encoding lacks is shown by its number, too.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with redirect_stdout(made_visible(sys.stdout)), redirect_stderr(made_visible(sys.stderr)):
        yield
