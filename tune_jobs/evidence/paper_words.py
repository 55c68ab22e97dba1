"""The texts of a comparison: the cells of its table, what is not compared, and how it was judged."""

from collections.abc import Iterable

from search_spaces.plurals import plural
from tune_jobs.evidence.differences import Sample
from tune_jobs.evidence.paper import NotComparable, PaperComparison, Row
from tune_jobs.evidence.trials import LeftOut
from tune_jobs.results.recorded.published import Printed

_FEW = 3


def number(value: float, metric: str) -> str:
    """Format an accuracy in percent, a loss unchanged."""
    return f"{100 * value:.2f}" if metric.endswith("accuracy") else f"{value:.3f}"


def unit(metric: str) -> str:
    """Return the unit after a difference."""
    return " points" if metric.endswith("accuracy") else ""


def runs_of(found: Sample, metric: str) -> str:
    """Format a sample as `81.24 ± 0.62 (3)`: mean, standard deviation of one run, and number of runs."""
    spread = "" if found.sd is None else f" ± {number(found.sd, metric)}"
    return f"{number(found.mean, metric)}{spread} ({found.n})"


def change(mean: float, low: float, high: float, metric: str) -> str:
    """Format a difference and half of its interval: `+0.41 ± 1.36`."""
    sign = "-" if mean < 0 else "+"
    return f"{sign}{number(abs(mean), metric)} ± {number((high - low) / 2, metric)}"


def cells(row: Row, metric: str, *, epoch: bool) -> dict[str, str]:
    """Return the cells of a row, by column name."""
    found = row.difference
    at = {"epoch": str(row.epoch)} if epoch else {}
    return {
        "configuration": row.label,
        **at,
        "ours": runs_of(row.ours, metric),
        "theirs": runs_of(row.theirs, metric),
        "ours - theirs": change(found.mean, found.low, found.high, metric),
        "verdict": row.verdict,
    }


def epochs(found: PaperComparison) -> list[int]:
    """Return the epochs at which rows are compared."""
    return sorted({row.epoch for row in found.rows})


def headline(found: PaperComparison) -> str:
    """Describe the comparison in one sentence."""
    at = epochs(found)
    where = "" if not at else f" at epoch {at[0]}" if len(at) == 1 else " at the epochs in the table"
    early = any(row.epoch < row.last_epoch for row in found.rows)
    why = "; the published runs were longer, and are compared at that epoch" if early else ""
    how = ", in percent" if found.metric.endswith("accuracy") else ""
    return f"{found.metric}{where}{how}{why}. Means have the standard deviation of one run and the number of runs."


def paper_says(row: Row, metric: str) -> dict[str, str]:
    """Return what the paper's tables and figures show for a row, by column name; empty if they do not show it."""
    by_value: dict[str, list[str]] = {}
    for place in row.printed:
        if place.kind == "row":
            by_value.setdefault(_printed(place, metric), []).append(place.item)
    found = {"printed": "; ".join(f"{value} ({_items(items)})" for value, items in by_value.items())}
    early = [] if row.epoch == row.last_epoch else [f"theirs {number(each.theirs, metric)}" for each in row.best_epochs]
    ours = [f"ours {number(each.ours, metric)}" for each in row.best_epochs[:1]]
    return {
        **found,
        "drawn, best epoch": "; ".join(f"{number(e.drawn, metric)} ({_items(e.items)})" for e in row.best_epochs),
        "best epoch until now": ", ".join(ours + early),
    }


def _items(items: Iterable[str]) -> str:
    """Shorten `Table 1, without PE` and `Table 4` to `Table 1, 4`."""
    names = list(dict.fromkeys(item.partition(",")[0] for item in items))
    return ", ".join([*names[:1], *(name.split()[1] for name in names[1:])])


def _printed(place: Printed, metric: str) -> str:
    if metric.endswith("accuracy"):
        assert place.accuracy is not None
        return f"{place.accuracy:.2f}"
    assert place.loss is not None
    return f"{place.loss:.3f}"


def notes(found: PaperComparison) -> list[str]:
    """Return the known reasons why rows differ, each once with its rows."""
    return _together((note, row.label) for row in found.rows for note in row.notes)


def without(not_comparable: Iterable[NotComparable], left_out: Iterable[LeftOut]) -> list[str]:
    """Return the trials that are not compared, by reason."""
    pairs = [(each.why, trial) for each in not_comparable for trial in each.trials]
    pairs += [(each.why, each.trial) for each in left_out]
    by_reason: dict[str, list[int]] = {}
    for why, each in pairs:
        by_reason.setdefault(why, []).append(each)
    return [f"not compared, {trials(numbers)}: {why}" for why, numbers in by_reason.items()]


def trials(numbers: list[int]) -> str:
    """Format trial numbers: `trial 3`, `trials 3, 4`."""
    return f"{'trial' if len(numbers) == 1 else 'trials'} {', '.join(map(str, sorted(numbers)))}"


def _together(pairs: Iterable[tuple[str, str]]) -> list[str]:
    found: dict[str, list[str]] = {}
    for text, row in pairs:
        found.setdefault(text, []).append(row)
    return [f"{text}: {_first(rows)}" for text, rows in found.items()]


def _first(rows: list[str]) -> str:
    more = len(rows) - _FEW
    return "; ".join(rows[:_FEW]) + (f"; and {plural(more, 'more row')}" if more > 0 else "")


def method(found: PaperComparison) -> list[str]:
    """Describe how the comparison was judged, with the numbers that were used."""
    if not found.rows:
        return []
    said = [
        f"ours - theirs: the difference of the means{unit(found.metric) and ' in points'}, ± half of its 95% interval ("
        + _distinct(row.difference.method for row in found.rows)
        + ")."
    ]
    noises = _distinct(
        f"{number(row.noise.sd, found.metric)} ({row.noise.of}, epoch {row.epoch}; {row.noise.df} degrees of freedom)"
        for row in found.rows
    )
    said.append(f"The sd of one run is pooled over the published repeats: {noises}. Our sd is pooled with it.")
    errors = [row.difference.batch_mean_sd for row in found.rows if row.difference.batch_mean_sd]
    if errors:
        low, high = number(min(errors), found.metric), number(max(errors), found.metric)
        between = low if low == high else f"{low} to {high}"
        said.append(f"Their accuracy is a mean of batch means, which adds an error with sd {between} points.")
    said.append(
        "different: significant at a false discovery rate of 5% over all rows (Benjamini and Hochberg). "
        "not resolvable: not different, but this number of runs finds a difference of the row's margin with a chance "
        "below 90%. "
        f"The margin is {_margin(found)}."
    )
    return said


def _margin(found: PaperComparison) -> str:
    given = found.rows[0]
    if given.margin_of == "--margin":
        return f"the value of --margin, {number(given.margin, found.metric)}{unit(found.metric)}"
    least = "1 point" if found.metric.endswith("accuracy") else "0.1"
    return f"the difference that the published runs show to their baseline, and at least {least}"


def resolution(found: PaperComparison) -> list[str]:
    """Describe what the rows that are not resolvable could resolve."""
    rows = [row for row in found.rows if row.verdict == "not resolvable"]
    if not rows:
        return []
    ranges = [
        _between((row.difference.resolves for row in rows), found.metric),
        _between((row.margin for row in rows), found.metric),
    ]
    return [
        (
            f"not resolvable, {plural(len(rows), 'row')}: this number of runs finds differences from {ranges[0]} on, "
            f"and the margin is {ranges[1]}{unit(found.metric)}. More seeds help, until the number of their runs is "
            f"the limit."
        )
    ]


def _between(values: Iterable[float], metric: str) -> str:
    found = list(values)
    low, high = number(min(found), metric), number(max(found), metric)
    return low if low == high else f"{low} to {high}"


def _distinct(texts: Iterable[str]) -> str:
    found = list(dict.fromkeys(texts))
    more = len(found) - _FEW
    return "; ".join(found[:_FEW]) + (f"; and {more} more (--json)" if more > 0 else "")
