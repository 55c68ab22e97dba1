"""A sweep in words and tables: how many trials are where, what they cost, which are best."""

from rich.table import Table
from rich.text import Text

from search_spaces import TrialConfig
from search_spaces.headline import HEADLINE, headline
from search_spaces.plurals import plural
from search_spaces.settings import HOURS
from tune_jobs.results.summary import Row, Summary
from tune_jobs.system.visible import visible

_STYLES = {"complete": "green", "running": "cyan", "stopped": "dim", "diverged": "red", "failed": "red"}


def tally(summary: Summary) -> str:
    """How many trials are where."""
    parts = [f"{summary.count(state)} {state}" for state in ("running", "complete", "stopped", "diverged", "failed")]
    parts.append(f"{len(summary.excluded)} excluded")
    shown = ", ".join(part for part in parts if not part.startswith("0 "))
    ended = f"{summary.ended} of " if summary.planned else ""
    text = f"{summary.name}: {ended}{plural(summary.planned or summary.ended, 'trial')} ended   {shown}"
    classes = ", ".join(f"{count} {name}" for name, count in summary.failures().items() if name != "diverged")
    return text + (f" ({classes})" if classes else "")


def standing(summary: Summary) -> str:
    """How many trials are where, what the sweep has used, and which trials are excluded: a line each."""
    return "\n".join(filter(None, (tally(summary), cost(summary), summary.exclusions)))


def cost(summary: Summary) -> str:
    """What the sweep has used, against its budget."""
    used, budget = summary.used, summary.budget
    parts = []
    for field, unit in HOURS.items():
        spent, limit = getattr(used, field), budget.get(field)
        if limit is not None or spent:
            parts.append(f"{spent:.3g}{f' of {limit:g}' if limit is not None else ''} {unit}")
    if (most := budget.get("trials")) is not None:
        parts.append(f"{used.trials} of {plural(int(most), 'trial')} started")
    return f"used: {', '.join(parts)}" if parts else "used: nothing yet"


def leaderboard(summary: Summary, most: int | None = None) -> Table:
    """The trials as a table, the best first; excluded ones are left out."""
    rows = summary.shown
    shown, varied = rows[:most], _varied(rows)
    table = Table(title_justify="left", box=None, pad_edge=False, header_style="bold")
    table.add_column("trial", justify="right")
    for name in varied:
        table.add_column(name, justify="right")
    table.add_column("epoch", justify="right")
    table.add_column(summary.metric, justify="right")
    table.add_column("state")
    for row in shown:
        params = headline(row.config)
        value = "" if row.value is None else f"{row.value:.2%}" if "accuracy" in summary.metric else f"{row.value:.4f}"
        state = Text(visible(row.state), _STYLES.get(row.state, ""))
        cells = [cell(params[name]) for name in varied]
        table.add_row(str(row.number), *cells, f"{row.epoch}/{row.config.training.epochs}", value, state)
    if most is not None and len(rows) > most:
        table.add_row("...", *[""] * (len(varied) + 3))
    return table


def shortly(config: TrialConfig) -> str:
    """The paper's parameters in a line."""
    return ", ".join(f"{name} {cell(value)}" for name, value in headline(config).items() if value is not None)


def _varied(rows: list[Row]) -> list[str]:
    """The parameters that differ between trials; lambda, k and lr in any case."""
    seen: dict[str, set[object]] = {}
    for row in rows:
        for name, value in headline(row.config).items():
            seen.setdefault(name, set()).add(value)
    return [name for name in HEADLINE if name in ("lambda", "k", "lr") or len(seen.get(name, ())) > 1]


def cell(value: object) -> str:
    """A parameter, short."""
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
