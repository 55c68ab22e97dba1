import io
import json
import os
import subprocess
import sys
import unicodedata

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from tune_jobs.system.json_text import json_text
from tune_jobs.system.visible import made_visible, obeying, visible, visible_streams

ANYTHING = st.text(st.characters(exclude_categories=()))
"""Including halves of surrogate pairs."""


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("\x1b[2J\x1b[H", r"\x1b[2J\x1b[H"),  # clears the screen
        (
            "\x1b]8;;https://elsewhere.example\x07here\x1b]8;;\x07",
            r"\x1b]8;;https://elsewhere.example\x07here\x1b]8;;\x07",
        ),
        ("\x1b]52;c;cm0gLXJm\x07", r"\x1b]52;c;cm0gLXJm\x07"),  # fills the clipboard
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("failed\rdone  ", r"failed\x0ddone  "),
        ("failed\b\b\b\b\b\bdone", r"failed\x08\x08\x08\x08\x08\x08done"),
        ("\x9b2J\x9d52;c;\x9c", r"\u009b2J\u009d52;c;\u009c"),  # the same in one character
        ("\x7f\x85\x00\x0b\x0c", r"\u007f\u0085\x00\x0b\x0c"),
        ("\u202egnp.exe\u2066\u2069\u200f\u061c", r"\u202egnp.exe\u2066\u2069\u200f\u061c"),
        ("one\u2028two\ud800", r"one\u2028two\ud800"),
    ],
)
def test_control_characters_are_shown_as_escapes(text: str, seen: str) -> None:
    assert visible(text) == seen


@pytest.mark.parametrize("text", ["a\tb\nc\n", "λ é 日本語 עברית 👩‍🔬", r"C:\new\x1b", "[red]x[/red]"])
def test_other_text_is_unchanged(text: str) -> None:
    assert visible(text) == text


@given(ANYTHING)
def test_only_tab_and_line_feed_are_left_and_escaping_is_idempotent(text: str) -> None:
    seen = visible(text)
    assert {c for c in seen if unicodedata.category(c) in ("Cc", "Cs")} <= {"\t", "\n"}
    assert not {
        c
        for c in seen
        if unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    }
    assert visible(seen) == seen


@given(st.dictionaries(ANYTHING, ANYTHING))
def test_json_stays_valid_with_the_same_meaning(content: dict[str, str]) -> None:
    assert json.loads(visible(json_text(content))) == content


def test_everything_printed_is_escaped_also_in_pieces(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = sys.stdout, sys.stderr
    with visible_streams():
        print("\x1b", end="")
        print("[2J", flush=True)
        sys.stdout.writelines(["\x9b", "\n"])
        typer.echo("\u202easked", err=True)
        assert obeying(sys.stdout) is out
        with visible_streams():  # nested streams escape once
            assert obeying(sys.stderr) is err
    assert (sys.stdout, sys.stderr) == (out, err)
    assert capsys.readouterr() == ("\\x1b[2J\n\\u009b\n", "\\u202easked\n")


def test_a_wrapped_stream_keeps_its_attributes() -> None:
    below = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    stream = made_visible(below)
    assert (stream.encoding, stream.isatty(), stream.writable()) == ("utf-8", False, True)
    assert stream.write("\x1b") == 1
    stream.flush()
    assert below.buffer.getvalue() == rb"\x1b"


def test_characters_missing_in_the_encoding_are_escaped() -> None:
    program = "from tune_jobs.system.visible import visible_streams\nwith visible_streams():\n    print('\u03bb 0.25')"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    said = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    assert said.stdout == b"\\u03bb 0.25\n"
