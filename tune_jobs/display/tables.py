"""A sweep as text and tables: trials by state, their cost, and the best ones."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from search_spaces.domains import Scalar
from search_spaces.plurals import plural
from tune_jobs.display.console import TextConsole
from tune_jobs.results.columns import Column, in_a_line, label
from tune_jobs.results.row import Row
from tune_jobs.results.seeds import configurations
from tune_jobs.results.summary import Summary
from tune_jobs.results.words import HOUR_S, USED, duration, shown
from tune_jobs.system.visible import visible

_STYLES = {"complete": "green", "running": "cyan", "stopped": "dim", "diverged": "red", "failed": "red"}

SEEDS_SHOWN = 5
"""Configurations that the table over seeds shows."""

NUMBERS = 5
"""Trial numbers that are shown for a configuration."""


def tally(summary: Summary) -> str:
    """Return the number of trials in each state, as one line."""
    parts = [f"{summary.count(state)} {state}" for state in ("running", "complete", "stopped", "diverged", "failed")]
    parts.append(f"{len(summary.excluded)} excluded")
    states = ", ".join(part for part in parts if not part.startswith("0 "))
    ended, noun = summary.ended, "trial"
    if summary.by_configuration:
        ended, noun, states = summary.configurations_ended, "configuration", f"trials: {states or 'none yet'}"
    of = f"{ended} of " if summary.planned else ""
    text = f"{summary.name}: {of}{plural(summary.planned or ended, noun)} ended   {states}"
    classes = ", ".join(f"{count} {name}" for name, count in summary.failures().items() if name != "diverged")
    return text + (f" ({classes})" if classes else "")


def standing(summary: Summary, state: str = "") -> str:
    """Return the trials by state, the used budget and the excluded trials, one line each."""
    first = f"{tally(summary)}{f'   {state}' if state else ''}"
    return "\n".join(filter(None, (first, cost(summary), summary.exclusions)))


def cost(summary: Summary) -> str:
    """Return what the sweep has used of its budget, as one line."""
    used, budget = summary.used, summary.budget
    parts = []
    for field, name in USED.items():
        spent, limit = getattr(used, field), budget.get(field)
        if limit is not None or spent:
            of = f" of {duration(limit * HOUR_S)}" if limit is not None else ""
            parts.append(f"{duration(spent * HOUR_S)}{of} {name}")
    if (most := budget.get("trials")) is not None:
        parts.append(f"{used.trials} of {plural(int(most), 'trial')} started")
    return f"used: {', '.join(parts)}" if parts else "used: nothing yet"


def best_so_far(summary: Summary) -> str | None:
    """Return the best trial, its value and its varying fields, as one line."""
    best = summary.best
    if best is None:
        return None
    at = "" if summary.compared_at is None else f" (ranked at epoch {summary.compared_at})"
    config = in_a_line(best.config, summary.columns)
    return f"best so far: trial {best.number}, {summary.best_said}{at}{f': {config}' if config else ''}"


def print_leaderboard(
    out: Console, summary: Summary, most: int | None = None, columns: Sequence[Column] | None = None
) -> None:
    """Print the fields that all trials share, the table of trials (best first), and the columns that did not fit."""
    for part in leaderboard(summary, out.width, most, columns):
        out.print(part)


def leaderboard(
    summary: Summary, width: int, most: int | None = None, columns: Sequence[Column] | None = None
) -> list[Table | Text]:
    """Return the same as parts from top to bottom, at most `width` wide. Excluded trials are left out.

    If the columns do not fit, the last ones are left out and named in a line.
    """
    chosen = list(summary.columns if columns is None else columns)
    if summary.by_configuration:
        chosen = [column for column in chosen if column.key != "training.seed"]
    parts: list[Table | Text] = []
    if common := in_common(summary.constants):
        parts.append(Text(visible(common), "dim"))
    if summary.ranking:
        parts.append(Text(visible(summary.ranking), "dim"))
    left_out: list[Column] = []
    table = _table(summary, most, chosen)
    while chosen and width_of(table) > width:
        left_out.insert(0, chosen.pop())
        table = _table(summary, most, chosen)
    parts.append(table)
    if left_out:
        names = ", ".join(column.name for column in left_out)
        parts.append(Text(visible(f"columns that do not fit: {names} (choose with --columns)"), "dim"))
    return parts


def in_common(constants: dict[str, Scalar]) -> str:
    """Return the fields that all trials share, as one line."""
    said = ", ".join(f"{name} {label(value)}" for name, value in constants.items())
    return f"all trials: {said}" if said else ""


def over_seeds(summary: Summary) -> Table | None:
    """Return a table of configurations with several seeds, best mean first; `None` if the leaderboard shows them."""
    found = summary.seeds[:SEEDS_SHOWN]
    if not found or summary.repeats > 1:
        return None
    columns = [column for column in summary.columns if column.key != "training.seed"]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("mean", "sd", "seeds", *(column.name for column in columns)):
        table.add_column(name, justify="right")
    table.add_column("trials")
    for group in found:
        numbers = ", ".join(str(number) for number in sorted(row.number for row in group.rows))
        values = (shown(value, summary.metric) for value in (group.mean, group.spread))
        table.add_row(*values, str(len(group.rows)), *_cells(group.rows[0], columns), numbers)
    return table


def cell(value: Scalar) -> str:
    """Return a short text for a parameter."""
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else label(value)


def _table(summary: Summary, most: int | None, columns: Sequence[Column]) -> Table:
    if summary.by_configuration:
        return _configurations(summary, most, columns)
    rows = summary.shown
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("trial", justify="right", no_wrap=True)
    for column in columns:
        table.add_column(column.name, justify="right", no_wrap=True)
    table.add_column("epoch", justify="right", no_wrap=True)
    table.add_column(summary.metric, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for row in rows[:most]:
        value = "" if row.value is None else shown(row.value, summary.metric)
        state = Text(visible(row.state), _STYLES.get(row.state, ""))
        epoch = f"{row.epoch}/{row.config.training.epochs}"
        table.add_row(str(row.number), *_cells(row, columns), epoch, value, state)
    if most is not None and len(rows) > most:
        table.add_row("...", *[""] * (len(columns) + 3))
    return table


def _configurations(summary: Summary, most: int | None, columns: Sequence[Column]) -> Table:
    """Return a table with one row per configuration, with the mean over its complete seeds."""
    found, metric = configurations(summary.shown, summary.repeats), summary.metric
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("trials", *(column.name for column in columns), "epoch", f"mean {metric}", "sd", "seeds"):
        table.add_column(name, justify="left" if name == "trials" else "right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for each in found[:most]:
        row, complete = each.rows[0], each.complete
        value = complete.mean if complete.rows else row.value
        spread = shown(complete.spread, metric) if len(complete.rows) > 1 else ""
        table.add_row(
            numbers(each.rows),
            *_cells(row, columns),
            f"{row.epoch}/{row.config.training.epochs}",
            "" if value is None else shown(value, metric),
            spread,
            each.of_seeds(),
            Text(visible(each.state), _STYLES.get(each.state, "")),
        )
    if most is not None and len(found) > most:
        table.add_row("...", *[""] * (len(columns) + 5))
    return table


def numbers(rows: Iterable[Row]) -> str:
    """Return trial numbers as `3, 7, 8`, and the number of those left out."""
    found = sorted(row.number for row in rows)
    more = f" +{len(found) - NUMBERS}" if len(found) > NUMBERS else ""
    return ", ".join(map(str, found[:NUMBERS])) + more


def _cells(row: Row, columns: Sequence[Column]) -> list[str]:
    return [cell(row.fields.get(column.key)) for column in columns]


def width_of(table: Table) -> int:
    """Return the width of the table without any wrapping."""
    console = TextConsole(width=10_000)
    return Measurement.get(console, console.options, table).maximum
