"""The report as one HTML file, which loads nothing: style, program, Plotly and data are inside."""

import shlex
import time
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plotly.offline import get_plotlyjs

from search_spaces.settings import HOURS
from tune_jobs.report import theme
from tune_jobs.report.comparisons import note_of_slices
from tune_jobs.report.metrics import shown
from tune_jobs.report.tables import failures, leaderboard, over_seeds, pairs
from tune_jobs.results.history import TrialHistory
from tune_jobs.system.json_text import json_text
from tune_jobs.system.redaction import without_password

if TYPE_CHECKING:
    from tune_jobs.report.data import ReportData
    from tune_jobs.report.plots import Plot

_NOTHING_FROM_OUTSIDE = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:"
)
"""What browsers enforce; Plotly's parallel coordinates are compiled in the page, and need the eval."""


def page(data: "ReportData", plots: "list[Plot]") -> str:
    """The HTML of a report."""
    by_key = {plot.key: plot for plot in plots}
    slices = [plot for plot in plots if plot.key.startswith("slice")]
    sections = [
        ("leaderboard", "Leaderboard", leaderboard(data)),
        *([("seeds", "Over seeds", over_seeds(data))] if data.repeats else []),
        *(_section(by_key[key]) for key in ("learning-curves", "parallel-coordinates", "importance")),
        ("slices", "Slices", f"{_note(note_of_slices(data))}<div class=grid>{''.join(map(_figure, slices))}</div>"),
        *(_section(by_key[key]) for key in ("pareto", "stopping")),
        ("failures", "Failures", failures(data)),
        ("reproduce", "How to reproduce", "".join(_reproduce(data))),
    ]
    links = "".join(f"<a href='#{key}'>{escape(title)}</a>" for key, title, _ in sections)
    body = "".join(f"<section id={key}><h2>{escape(title)}</h2>{text}</section>" for key, title, text in sections)
    drawn = {plot.key: plot.figure.to_plotly_json() for plot in plots if plot.figure is not None}
    for figure in drawn.values():
        figure["layout"].pop("template", None)
    plotted = {"figures": drawn, "light": theme.LIGHT, "dark": theme.DARK, "config": theme.CONFIG}
    here = files(__package__)
    return (
        "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>"
        f'<meta http-equiv="Content-Security-Policy" content="{_NOTHING_FROM_OUTSIDE}">'
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(data.summary.name)}</title><style>{(here / 'page.css').read_text(encoding='utf-8')}</style>"
        f"</head><body><header>{_header(data)}<nav>{links}</nav></header><main>{body}</main>"
        f"<footer>Drawn {_now()} from the sweep's ledger.</footer>"
        f"<script type='application/json' id=data>{_inert(plotted)}</script><script>{get_plotlyjs()}</script>"
        f"<script>{(here / 'page.js').read_text(encoding='utf-8')}</script></body></html>\n"
    )


def _inert(data: dict[str, Any]) -> str:
    """JSON that cannot end the element it stands in."""
    return json_text(data, indent=None).replace("<", "\\u003c")


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())


def _section(plot: "Plot") -> tuple[str, str, str]:
    return plot.key, plot.title, _figure(plot, titled=False)


def _note(text: str) -> str:
    return f"<p class=note>{escape(text)}</p>" if text else ""


def _figure(plot: "Plot", *, titled: bool = True) -> str:
    title = f"<h3>{escape(plot.title)}</h3>" if titled and plot.figure is not None else ""
    note = _note(plot.note)
    if plot.figure is None:
        return note
    size = f"min-width:{plot.width}px;height:{plot.figure.layout.height}px"
    place = f"<div class=scroll><div class=plot data-plot='{escape(plot.key)}' style='{size}'></div></div>"
    return f"<figure>{title}{note}{place}</figure>"


def _header(data: "ReportData") -> str:
    found, best = data.summary, data.summary.best
    halted = f"<p class=halted>It has stopped: {escape(found.halted.message)}</p>" if found.halted else ""
    lead = "No trial has a value yet."
    if best is not None:
        whole = "" if best.state == "complete" else f" ({best.state})"
        lead = (
            f"Best: <b>{shown(best.value, found.metric)}</b> {escape(found.metric)}, trial {best.number}{whole}, "
            f"epoch {best.epoch} of {best.config.training.epochs}{_of_its_seeds(data)}"
        )
    tiles = "".join(
        f"<div class=tile><span>{escape(name)}</span><b>{escape(value)}</b><small>{escape(of)}</small></div>"
        for name, value, of in _tiles(data)
    )
    return (
        f"<h1>{escape(found.name)} <span class='state {data.state}'>{data.state}</span></h1>"
        f"<p>{found.goal} {escape(found.metric)}. {lead}</p>{halted}<div class=tiles>{tiles}</div>"
    )


def _of_its_seeds(data: "ReportData") -> str:
    """The best trial is the luckiest, too: what its configuration comes to with other seeds."""
    metric, best = data.summary.metric, data.summary.best
    for group in data.repeats:
        if best in group.rows:
            spread = f"{shown(group.mean, metric)} ± {shown(group.spread, metric)}"
            return f"; its configuration over {len(group.rows)} seeds: {spread}"
    return ""


def _tiles(data: "ReportData") -> Iterator[tuple[str, str, str]]:
    found = data.summary
    used, budget, done, ran = found.used, found.budget, sum(map(len, data.curves.values())), len(data.epochs)
    planned = f"of {found.planned:,} planned" if found.planned else "of as many as the space has"
    yield "trials ended", f"{found.ended:,}", planned
    states = [(state, found.count(state)) for state in ("stopped", "diverged", "failed", "running")]
    states.append(("excluded", len(found.excluded)))
    yield "complete", f"{found.count('complete'):,}", ", ".join(f"{n:,} {state}" for state, n in states if n)
    share = f"of about {data.planned_epochs:,} planned" if data.planned_epochs else ""
    again = f"{ran - done:,} more were run again" if ran > done else ""
    yield "epochs", f"{done:,}", "; ".join(filter(None, (share, again)))
    for field, name in HOURS.items():
        spent, limit = getattr(used, field), budget.get(field)
        if not spent and limit is None:
            continue
        whole = spent / ran * data.planned_epochs if spent and ran and data.planned_epochs else None
        plan = f"the planned epochs at this speed: about {whole:.3g}" if whole is not None else ""
        yield (
            name,
            f"{spent:.3g}",
            "; ".join(filter(None, (f"of {limit:g} allowed" if limit is not None else "", plan))),
        )


def _reproduce(data: "ReportData") -> Iterator[str]:
    best, name = data.summary.best, data.summary.name
    again = shlex.quote(f"name={name[:90]}-again")
    commands = [f"convnn run {shlex.quote(name)}.yaml --set {again}  # the file below, as a sweep of its own"]
    if best is not None:
        commands.append(f"convnn train {shlex.quote(name)}-best.yaml  # the best trial's file, below")
    yield f"<pre>{escape(chr(10).join(commands))}</pre>"
    if not data.starts:
        yield _note("The folder has no manifest.json, so what it ran with is not known.")
    rows = _over(list(map(_ran_with, data.starts)))
    if len(data.starts) > 1 and any(len(values) > 1 for values in rows.values()):
        yield _note(f"It was started {len(data.starts)} times, and not always with the same; all is here, in order.")
    yield pairs(
        [
            ("first started", data.started or "not recorded"),
            *(("command", _command(start)) for start in data.starts[:1]),
            *((what, " / then ".join(values)) for what, values in rows.items()),
        ]
    )
    file = data.folder.spec
    yield _text("The sweep's file", without_password(file.read_text("utf-8")) if file.exists() else "missing")
    if best is not None and data.spec is not None:
        yield _text(f"The best trial's file: trial {best.number}", TrialHistory(data.folder, best, [], []).sweep_file())


def _command(start: dict[str, Any]) -> str:
    program, *arguments = start.get("command") or [""]
    return shlex.join([Path(program).name, *arguments])


def _ran_with(start: dict[str, Any]) -> dict[str, str]:
    """What numbers may depend on, of one start of the sweep."""
    git = start.get("git")
    changed = ", with uncommitted changes, which manifest.json has" if git and git["dirty"] else ""
    return {
        "git commit": f"{git['sha']}{changed}" if git else "not run in a repository",
        **{f"data {name}": str(digest) for name, digest in start.get("data_digests", {}).items()},
        **{name.replace("_", " "): str(start[name]) for name in ("image", "image_digest") if start.get(name)},
        **{name: str(start[name]) for name in ("python", "platform") if start.get(name)},
        **{package: str(version) for package, version in start.get("packages", {}).items()},
    }


def _over(starts: list[dict[str, str]]) -> dict[str, list[str]]:
    """By name, the different values that several starts have, in order; `none` where one lacks what others have."""
    names = dict.fromkeys(name for start in starts for name in start)
    return {name: list(dict.fromkeys(start.get(name, "none") for start in starts)) for name in names}


def _text(title: str, text: str) -> str:
    return f"<details open><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"
