"""A comparison in words: the cells of its table, what is not compared, and how it was judged."""

from collections.abc import Iterable

from search_spaces.plurals import plural
from tune_jobs.evidence.differences import Sample
from tune_jobs.evidence.paper import NotComparable, PaperComparison, Row
from tune_jobs.evidence.trials import LeftOut
from tune_jobs.results.recorded.published import Printed

_FEW = 3


def number(value: float, metric: str) -> str:
    """An accuracy in percent, a loss as it is."""
    return f"{100 * value:.2f}" if metric.endswith("accuracy") else f"{value:.3f}"


def unit(metric: str) -> str:
    """What follows a difference."""
    return " points" if metric.endswith("accuracy") else ""


def runs_of(found: Sample, metric: str) -> str:
    """`81.24 ± 0.62 (3)`: mean, standard deviation of one run, and how many there are."""
    spread = "" if found.sd is None else f" ± {number(found.sd, metric)}"
    return f"{number(found.mean, metric)}{spread} ({found.n})"


def change(mean: float, low: float, high: float, metric: str) -> str:
    """`+0.41 ± 1.36`: a difference, and half of its interval."""
    sign = "-" if mean < 0 else "+"
    return f"{sign}{number(abs(mean), metric)} ± {number((high - low) / 2, metric)}"


def cells(row: Row, metric: str, *, epoch: bool) -> dict[str, str]:
    """What is compared, by the column's name."""
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
    """At which its rows are compared."""
    return sorted({row.epoch for row in found.rows})


def headline(found: PaperComparison) -> str:
    """What is compared, in a sentence."""
    at = epochs(found)
    where = "" if not at else f" at epoch {at[0]}" if len(at) == 1 else " at the epochs given"
    early = any(row.epoch < row.last_epoch for row in found.rows)
    why = "; the published runs went on, and are read off there" if early else ""
    how = ", in percent" if found.metric.endswith("accuracy") else ""
    return f"{found.metric}{where}{how}{why}. A mean has the standard deviation of one run, and the number of runs."


def paper_says(row: Row, metric: str) -> dict[str, str]:
    """What the paper prints for a row, and what its figures draw, by the column's name; empty where it is not there."""
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
    """`Table 1, 4` of `Table 1, without PE` and `Table 4`."""
    names = list(dict.fromkeys(item.partition(",")[0] for item in items))
    return ", ".join([*names[:1], *(name.split()[1] for name in names[1:])])


def _printed(place: Printed, metric: str) -> str:
    if metric.endswith("accuracy"):
        assert place.accuracy is not None
        return f"{place.accuracy:.2f}"
    assert place.loss is not None
    return f"{place.loss:.3f}"


def notes(found: PaperComparison) -> list[str]:
    """What makes rows differ by construction, each once with its rows."""
    return _together((note, row.label) for row in found.rows for note in row.notes)


def without(not_comparable: Iterable[NotComparable], left_out: Iterable[LeftOut]) -> list[str]:
    """The trials that are not compared, by reason."""
    pairs = [(each.why, trial) for each in not_comparable for trial in each.trials]
    pairs += [(each.why, each.trial) for each in left_out]
    by_reason: dict[str, list[int]] = {}
    for why, each in pairs:
        by_reason.setdefault(why, []).append(each)
    return [f"not compared, {trials(numbers)}: {why}" for why, numbers in by_reason.items()]


def trials(numbers: list[int]) -> str:
    """`trial 3`, `trials 3, 4`."""
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
    """How it was judged, with the numbers that were used."""
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
    said.append(f"One run varies by the pooled sd of the published repeats: {noises}. Ours is pooled with it.")
    errors = [row.difference.batch_mean_sd for row in found.rows if row.difference.batch_mean_sd]
    if errors:
        low, high = number(min(errors), found.metric), number(max(errors), found.metric)
        between = low if low == high else f"{low} to {high}"
        said.append(f"Their accuracy is a mean of batch means: that adds an error of sd {between} points.")
    said.append(
        "different: significant at a false discovery rate of 5% over all rows (Benjamini and Hochberg). "
        "not resolvable: not different, but so few runs find a difference of the row's margin with a chance below 90%. "
        f"The margin is {_margin(found)}."
    )
    return said


def _margin(found: PaperComparison) -> str:
    given = found.rows[0]
    if given.margin_of == "--margin":
        return f"that of --margin, {number(given.margin, found.metric)}{unit(found.metric)}"
    least = "1 point" if found.metric.endswith("accuracy") else "0.1"
    return f"the difference that the published runs show to their baseline, and at least {least}"


def resolution(found: PaperComparison) -> list[str]:
    """Of the rows that cannot be resolved, what they could."""
    rows = [row for row in found.rows if row.verdict == "not resolvable"]
    if not rows:
        return []
    ranges = [
        _between((row.difference.resolves for row in rows), found.metric),
        _between((row.margin for row in rows), found.metric),
    ]
    return [
        (
            f"not resolvable, {plural(len(rows), 'row')}: so few runs find a difference from {ranges[0]} on, and the "
            f"margin is {ranges[1]}{unit(found.metric)}. More seeds help until the number of theirs is the limit."
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
