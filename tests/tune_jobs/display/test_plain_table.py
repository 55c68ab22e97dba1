import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from tune_jobs.display.console import TextConsole
from tune_jobs.display.plain_table import PlainTable
from tune_jobs.system.visible import visible

TEXTS = st.text(st.sampled_from("ab 9.%\N{GREEK SMALL LETTER LAMDA}\u4e2d[\x1b\n\t"), max_size=6)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[tuple[str, str]], list[list[str | Text]]]:
    """Draw columns, each with its alignment, and rows; some cells have a style."""
    columns = draw(
        st.lists(st.tuples(TEXTS.map("#{}".format), st.sampled_from(["left", "right"])), min_size=1, max_size=4)
    )
    cells = st.one_of(TEXTS, TEXTS.map(lambda text: Text(visible(text), "green")))
    return columns, draw(st.lists(st.lists(cells, min_size=len(columns), max_size=len(columns)), max_size=4))


def printed(table: Table, columns: list[tuple[str, str]], rows: list[list[str | Text]], width: int) -> str:
    for name, side in columns:
        table.add_column(name, justify=side, no_wrap=True)  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*row)
    said = io.StringIO()
    TextConsole(file=said, width=width).print(table)
    return said.getvalue()


@settings(deadline=None)
@given(tables(), st.sampled_from([12, 40]))
def test_it_looks_like_richs_table(
    content: tuple[list[tuple[str, str]], list[list[str | Text]]], width: int
) -> None:  # oracle: rich's own table
    own = printed(PlainTable(), *content, width)
    assert own == printed(Table(box=None, pad_edge=False, header_style="bold"), *content, width)


def test_a_cell_keeps_its_color() -> None:
    table, said = PlainTable(), io.StringIO()
    table.add_column("trial")
    table.add_column("state")
    table.add_row("1", Text("failed", "red"))
    TextConsole(file=said, width=40, force_terminal=True, color_system="standard", _environ={}).print(table)
    assert "\x1b[31m  failed\x1b[0m" in said.getvalue()


def test_a_table_that_fits_is_not_drawn_by_rich(monkeypatch: pytest.MonkeyPatch) -> None:  # rich takes 5 s
    monkeypatch.delattr(Table, "__rich_console__")
    assert printed(PlainTable(), [("trial", "right")], [["1"]], 40) == "trial\n    1\n"
