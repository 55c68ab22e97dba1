"""The numbers of a sweep: leaderboard and failures for the page, everything as CSV."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from html import escape
from typing import TYPE_CHECKING, Any

from search_spaces.headline import HEADLINE, headline
from tune_jobs.failures import CLASSES
from tune_jobs.report.metrics import shown
from tune_jobs.report.seeds import Repeats
from tune_jobs.report.varying import NONE, label, varying
from tune_jobs.results.summary import Row
from tune_jobs.worker.sizing import SIZES

if TYPE_CHECKING:
    from tune_jobs.report.data import ReportData

SHOWN = 20
"""Rows of the leaderboard before the rest is asked for."""

_WORDS = {"aggregation", "state"}
"""Columns of words, which stand on the left."""

REASONS = 100
"""Failed trials whose reasons are shown."""


def leaderboard(data: "ReportData") -> str:
    """Every trial but excluded ones, the best first; those beyond the first few are hidden until they are asked for."""
    found = data.summary
    head = _heads("trial", found.metric, *HEADLINE, "epoch", "GFLOPs", "parameters", "state")
    rows = [_trial(data, row) for row in found.shown]
    rest = f"<tbody id=rest hidden>{''.join(rows[SHOWN:])}</tbody>" if rows[SHOWN:] else ""
    button = f"<button id=all type=button>show all {len(rows)} trials</button>" if rest else ""
    table = f"<table>{head}<tbody>{''.join(rows[:SHOWN])}</tbody>{rest}</table>"
    left_out = f"<p class=note>{escape(found.exclusions)}</p>" if found.exclusions else ""
    if not rows:
        return left_out or "<p>No trial has been started yet.</p>"
    return f"{left_out}<div class=scroll tabindex=0>{table}</div>{button}"


def _trial(data: "ReportData", row: Row) -> str:
    size = data.sizes.get(row.run_key)
    exact = "" if row.value is None else f' data-value="{row.value!r}"'
    result = f"<td class=n{exact}><b>{shown(row.value, data.summary.metric)}</b></td>"
    cells = [_number(str(row.number)), result]
    cells += _parameters(row)
    cells.append(_number(f"{row.epoch}/{row.config.training.epochs}"))
    cells.append(_number(f"{size.gflops:.4g}" if size else "-"))
    cells.append(_number(f"{size.parameters:,}" if size else "-"))
    why = f" ({row.failure})" if row.failure and row.failure != row.state else ""
    cells.append(f"<td><span class='state {row.state}'>{row.state}</span>{escape(why)}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def over_seeds(data: "ReportData") -> str:
    """The configurations that ran with several seeds, the best mean first."""
    head = _heads("mean", "sd", "seeds", *HEADLINE, "trials")
    rows = "".join(_repeats(data, group) for group in data.repeats[:SHOWN])
    more = f" The best {SHOWN} of {len(data.repeats)}." if len(data.repeats) > SHOWN else ""
    note = f"Of the complete trials: their mean, and the standard deviation of a sample.{more}"
    return f"<p class=note>{note}</p><div class=scroll tabindex=0><table>{head}<tbody>{rows}</tbody></table></div>"


def _repeats(data: "ReportData", group: Repeats) -> str:
    metric, numbers = data.summary.metric, ", ".join(str(row.number) for row in group.rows)
    cells = [_number(f"<b>{shown(group.mean, metric)}</b>"), _number(shown(group.spread, metric))]
    cells += [_number(str(len(group.rows))), *_parameters(group.rows[0]), _number(numbers)]
    return f"<tr>{''.join(cells)}</tr>"


def _heads(*names: str) -> str:
    cells = (f"<th{'' if name in _WORDS else ' class=n'}>{escape(name)}</th>" for name in names)
    return f"<thead><tr>{''.join(cells)}</tr></thead>"


def _parameters(row: Row) -> Iterator[str]:
    for name, value in headline(row.config).items():
        text = f"<span class=none>{NONE}</span>" if value is None else escape(label(value))
        yield f"<td>{text}</td>" if name in _WORDS else _number(text)


def failures(data: "ReportData") -> str:
    """How many trials and attempts failed, by class, and the reasons that were given."""
    trials = data.summary.failures()
    attempts = Counter(attempt.failure for attempt in data.attempts if attempt.failure)
    if not attempts and not trials:
        return "<p>No attempt at a trial has failed.</p>"
    counts = [
        f"<tr><td>{name}</td>{_number(str(trials.get(name, 0)))}{_number(str(attempts[name]))}</tr>"
        for name in CLASSES
        if attempts[name] or trials.get(name)
    ]
    summary = (
        "<table class=narrow><thead><tr><th>class</th><th class=n>trials ended by it</th><th class=n>attempts</th>"
        f"</tr></thead><tbody>{''.join(counts)}</tbody></table>"
    )
    ended = [row for row in sorted(data.summary.shown, key=lambda row: row.number) if row.failure]
    reasons = "".join(
        f"<tr>{_number(str(row.number))}<td>{row.failure}</td><td class=reason>{escape(row.reason or '')}</td></tr>"
        for row in ended[:REASONS]
    )
    if not reasons:
        return f"<div class=scroll>{summary}</div><p>Every trial that this happened to went on in another attempt.</p>"
    head = "<thead><tr><th class=n>trial</th><th>class</th><th>reason</th></tr></thead>"
    more = f"<p>{len(ended) - REASONS} more are in leaderboard.csv.</p>" if len(ended) > REASONS else ""
    whole = f"<div class=scroll tabindex=0><table>{head}<tbody>{reasons}</tbody></table></div>{more}"
    opened = " open" if len(ended) <= SHOWN else ""
    return f"<div class=scroll>{summary}</div><details{opened}><summary>Reasons</summary>{whole}</details>"


def pairs(rows: Iterable[tuple[str, str]]) -> str:
    """Names and their values; the text is escaped here."""
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    return f"<div class=scroll><table class=pairs><tbody>{cells}</tbody></table></div>"


def _number(text: str) -> str:
    return f"<td class=n>{text}</td>"


def leaderboard_csv(data: "ReportData") -> str:
    """A line per trial, the best first, every number in full; a parameter that a trial does not have is empty.

    Excluded trials come last, with the reason under `excluded`.
    """
    rows = data.summary.rows
    others = [parameter for parameter in varying(rows) if parameter.name not in HEADLINE]
    metrics = list(dict.fromkeys(name for row in rows for name in row.metrics if name not in SIZES))
    lines = []
    for row in rows:
        size = data.sizes.get(row.run_key)
        line: dict[str, Any] = {
            "trial": row.number,
            "run_key": row.run_key,
            "state": row.state,
            "failure": row.failure,
            "reason": row.reason,
            "excluded": row.excluded,
            "epoch": row.epoch,
            "epochs": row.config.training.epochs,
            "value": row.value,
            **headline(row.config),
            "gflops": size.gflops if size else None,
            "parameters": size.parameters if size else None,
        }
        line |= {parameter.name: parameter.values[row.run_key] for parameter in others}
        lines.append(line | {name: row.metrics.get(name) for name in metrics})
    return _csv(lines, ["trial", "run_key", "state"])


def epochs_csv(data: "ReportData") -> str:
    """A line per recorded epoch; `counts` is 0 where a later attempt ran that epoch again, or the trial is excluded."""
    numbers = {row.run_key: row.number for row in data.summary.rows}
    left_out = {row.run_key for row in data.summary.excluded}
    counting = {epoch.seq for curve in data.curves.values() for epoch in curve}
    lines = [
        {
            "trial": numbers[epoch.run_key],
            "run_key": epoch.run_key,
            "attempt": epoch.attempt,
            "epoch": epoch.epoch,
            "counts": int(epoch.seq in counting and epoch.run_key not in left_out),
            "at": epoch.at,
            **epoch.metrics,
        }
        for epoch in sorted(data.epochs, key=lambda e: (numbers[e.run_key], e.attempt, e.epoch))
    ]
    return _csv(lines, ["trial", "run_key", "attempt", "epoch", "counts", "at"])


def _csv(lines: list[dict[str, Any]], columns: list[str]) -> str:
    text = io.StringIO()
    names = dict.fromkeys([*columns, *(name for line in lines for name in line)])
    writer = csv.DictWriter(text, list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()
