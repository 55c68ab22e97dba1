import io
import re

from rich.table import Table
from rich.text import Text

from tune_jobs.display.console import TextConsole
from tune_jobs.system.visible import visible

OWN = re.compile(r"\x1b\[[0-9;]*m")
"""Our own color sequences."""


def test_text_is_printed_literally() -> None:
    out = io.StringIO()
    console = TextConsole(file=out, force_terminal=True, width=60)
    console.print(
        "[red]red[/red] [link=https://elsewhere.example]here[/link] :smile: \x1b]8;;https://elsewhere.example\x1b\\here"
    )
    said = " ".join(out.getvalue().split())
    assert said == (
        "[red]red[/red] [link=https://elsewhere.example]here[/link] :smile: "
        "\\x1b]8;;https://elsewhere.example\\x1b\\here"
    )


def test_a_table_of_untrusted_text_keeps_its_columns_and_colors() -> None:
    out = io.StringIO()
    table = Table(box=None, pad_edge=False)
    table.add_column("\x1b[5mname")
    table.add_column("state")
    table.add_row("\u202egnp.exe", Text(visible("complete\x9b2J"), "green"))
    table.add_row("short", "[b]bold")
    TextConsole(file=out, force_terminal=True, color_system="standard", width=60).print(table)
    assert "\x1b[32m" in out.getvalue()
    lines = OWN.sub("", out.getvalue()).splitlines()
    assert [line.split() for line in lines] == [
        ["\\x1b[5mname", "state"],
        ["\\u202egnp.exe", "complete\\u009b2J"],
        ["short", "[b]bold"],
    ]
    assert {line.index(second) for line, second in zip(lines, ("state", "complete", "[b]"), strict=True)} == {15}


def test_control_characters_are_made_visible_in_any_text() -> None:
    out = io.StringIO()
    TextConsole(file=out, force_terminal=True, width=60).print(Text("cleared \x1b[2J\x9b2J"))
    assert out.getvalue() == "cleared \\x1b[2J\\u009b2J\n"
