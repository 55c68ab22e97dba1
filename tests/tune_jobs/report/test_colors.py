from dataclasses import replace
from math import log10

import pytest

from search_spaces.domains import FloatRange, Scalar
from tests.tune_jobs.report.made import pool
from tune_jobs.report import theme
from tune_jobs.report.colors import Coloring, coloring, scale_color
from tune_jobs.results.columns import Column
from tune_jobs.results.row import Row

ROW = pool(1)[0]


def row(value: Scalar) -> Row:
    found = replace(ROW)
    found.__dict__["fields"] = {"x": value}
    return found


def colored(*values: Scalar, log: bool | None = False) -> Coloring:
    declared = None if log is None else FloatRange(1, 1000, log)
    found = coloring(Column("x", "a name"), [row(value) for value in values], declared)
    assert found is not None
    return found


@pytest.mark.parametrize(("log", "place"), [(True, log10(2) / 3), (False, 1 / 999), (None, log10(2) / 3)])
def test_a_number_has_its_color_on_a_linear_or_declared_logarithmic_scale(log: bool | None, place: float) -> None:
    found = colored(1.0, 2.0, 1000.0, log=log)
    assert found.colors == [theme.ORDERED[0], scale_color(place), theme.ORDERED[-1]]
    assert found.names == ["", "", ""]
    assert found.bar is not None
    assert (found.bar["cmin"], found.bar["cmax"]) == ((1, 1000) if log is False else (0, 3))


def test_a_scale_starts_and_ends_with_its_colors() -> None:
    assert [scale_color(at / 4) for at in range(5)] == list(theme.ORDERED)


def test_words_have_colors_of_the_palette_and_a_name_in_the_legend() -> None:
    found = colored("cosine", "euclidean", "cosine", None)
    first, second, again, absent = found.colors
    assert (first, {first, second} <= set(theme.COLORS)) == (again, True)
    assert absent == theme.STOPPED
    assert found.names == ["cosine", "euclidean", "cosine", "none"]
    assert found.bar is None


def test_few_numbers_that_recur_are_spread_over_the_scale() -> None:
    found = colored(9, 4, 9, 16, 4, log=None)
    assert found.colors == [theme.ORDERED[at] for at in (2, 0, 2, 4, 0)]
    assert (found.order, found.bar) == (["4", "9", "16"], None)


def test_a_line_without_the_number_is_grey_and_named() -> None:
    found = colored(0.1, 0.2, None)
    assert (found.colors[2], found.names) == (theme.STOPPED, ["", "", "a name none"])


def test_a_field_with_a_single_value_colors_nothing() -> None:
    assert coloring(Column("x", "x"), [row(1), row(1)]) is None
