"""The report as one HTML file that loads nothing: style, scripts, Plotly and data are inside.

The HTML is in `templates/`, where every value is escaped. Only text of this package, marked by `_own`, is not.
"""

import base64
import hashlib
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from tune_jobs.report import theme
from tune_jobs.report.comparisons import note_of_slices
from tune_jobs.report.findings import finding, method, points
from tune_jobs.report.plots import for_plotly
from tune_jobs.report.tables import failures
from tune_jobs.results.columns import NONE, label
from tune_jobs.results.history import TrialHistory
from tune_jobs.results.words import HOUR_S, USED, duration, shown
from tune_jobs.system.json_text import json_text
from tune_jobs.system.redaction import without_password
from tune_jobs.system.visible import visible

if TYPE_CHECKING:
    from tune_jobs.report.data import ReportData
    from tune_jobs.report.plots import Plot

SHOWN = 20
"""Rows of the leaderboard before the button for the rest."""

REASONS = 100
"""Maximum number of failed trials shown with their reason."""

_WORDS = ("model", "kind", "candidates", "aggregation", "state")
"""Columns of words, which are left-aligned."""


@dataclass(frozen=True)
class _Section:
    """A section of the page: a plot, or the template named after its key."""

    key: str
    title: str
    plot: "Plot | None" = None


@dataclass(frozen=True)
class _Reproduce:
    """What a sweep ran with, and how to run it again."""

    commands: list[str]
    notes: list[str]
    pairs: list[tuple[str, str]]
    files: list[tuple[str, str]]
    """Title and content."""


def page(data: "ReportData", plots: "list[Plot]") -> str:
    """Return the HTML of a report."""
    by_key = {plot.key: _Section(plot.key, plot.title, plot) for plot in plots}
    sections = [
        _Section("leaderboard", "Leaderboard"),
        _Section("effects", "What did it show?"),
        *([_Section("seeds", "Over seeds")] if data.repeats else []),
        *(by_key[key] for key in ("learning-curves", "parallel-coordinates", "importance")),
        _Section("slices", "Slices"),
        *(by_key[key] for key in ("pareto", "stopping")),
        _Section("failures", "Failures"),
        _Section("reproduce", "How to reproduce"),
    ]
    return rendered(
        "page.html",
        plots,
        sections=sections,
        data=data,
        found=data.summary,
        columns=data.summary.columns,
        constants=data.summary.constants,
        of_its_seeds=_of_its_seeds(data),
        tiles=list(_tiles(data)),
        slices=[plot for plot in plots if plot.key.startswith("slice")],
        note_of_slices=note_of_slices(data),
        findings=[(field, finding(data.effects, field)) for field in data.effects.fields],
        method=method(data.effects),
        failures=failures(data),
        failed=[row for row in sorted(data.summary.shown, key=lambda row: row.number) if row.failure],
        reproduce=_reproduce(data),
    )


def rendered(template: str, plots: "list[Plot]", **values: Any) -> str:  # noqa: ANN401 - what the template shows
    """Render a template with the parts that every page has: style, scripts, Plotly and the plots."""
    figures = {plot.key: for_plotly(plot.figure) for plot in plots if plot.figure is not None}
    scripts = [get_plotlyjs(), _text("page.js")]
    return (
        _templates()
        .get_template(template)
        .render(
            policy=_policy(scripts),
            style=_own(_text("page.css")),
            scripts=[_own(script) for script in scripts],
            plotted={"figures": figures, "light": theme.LIGHT, "dark": theme.DARK, "config": theme.CONFIG},
            plots=plots,
            now=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            **values,
        )
    )


def _policy(scripts: list[str]) -> str:
    """Return the content security policy: run exactly these scripts, and load nothing.

    Plotly compiles its parallel coordinates in the page, which needs unsafe-eval; only the allowed scripts can call it.
    Plotly also sets style attributes, which cannot be allowed by hash; here, a style cannot load or run anything.
    """
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{each}'" for each in hashes)
    return (
        f"default-src 'none'; script-src {allowed} 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
        f"base-uri 'none'; form-action 'none'"
    )


@cache
def _templates() -> Environment:
    found = Environment(
        loader=FunctionLoader(lambda name: _text(f"templates/{name}")),
        autoescape=True,
        finalize=lambda value: visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"shown": shown, "label": label, "points": points, "thousands": "{:,}".format}
    found.globals |= {"SHOWN": SHOWN, "REASONS": REASONS, "WORDS": _WORDS, "NONE": NONE}
    found.policies |= {"json.dumps_function": json_text, "json.dumps_kwargs": {"indent": None}}
    return found


def _text(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _own(text: str) -> Markup:
    """Mark text of this package as HTML; never use it for a sweep's text."""
    return Markup(text)  # noqa: S704


def _of_its_seeds(data: "ReportData") -> str:
    """Return the mean of the best trial's configuration over its seeds, since the best trial is also a lucky one."""
    metric, best = data.summary.metric, data.summary.best
    for group in data.repeats:
        if best in group.rows:
            spread = f"{shown(group.mean, metric)} ± {shown(group.spread, metric)}"
            return f"; its configuration over {len(group.rows)} seeds: {spread}"
    return ""


def _tiles(data: "ReportData") -> Iterator[tuple[str, str, str]]:
    found = data.summary
    used, budget, done, ran = found.used, found.budget, data.epochs.counting, data.epochs.ran
    planned = f"of {found.planned:,} planned" if found.planned else "of all configurations of the space"
    if found.by_configuration:
        of_each = f"{planned}; {found.repeats} seeds each: {found.ended:,} trials ended"
        yield "configurations ended", f"{found.configurations_ended:,}", of_each
    else:
        yield "trials ended", f"{found.ended:,}", planned
    states = [(state, found.count(state)) for state in ("stopped", "diverged", "failed", "running")]
    states.append(("excluded", len(found.excluded)))
    yield "complete", f"{found.count('complete'):,}", ", ".join(f"{n:,} {state}" for state, n in states if n)
    about = "at most" if data.at_most else "about"
    share = f"of {about} {data.planned_epochs:,} planned" if data.planned_epochs else ""
    again = f"{ran - done:,} more were repeated" if ran > done else ""
    yield "epochs", f"{done:,}", "; ".join(filter(None, (share, again)))
    for field, name in USED.items():
        spent, limit = getattr(used, field), budget.get(field)
        if not spent and limit is None:
            continue
        whole = spent / ran * data.planned_epochs if spent and ran and data.planned_epochs else None
        plan = f"all planned epochs at this speed: {about} {duration(whole * HOUR_S)}" if whole is not None else ""
        yield (
            name,
            duration(spent * HOUR_S),
            "; ".join(filter(None, (f"of {duration(limit * HOUR_S)} allowed" if limit is not None else "", plan))),
        )


def _reproduce(data: "ReportData") -> _Reproduce:
    best, name = data.summary.best, data.summary.name
    again = shlex.quote(f"name={name[:90]}-again")
    commands = [f"convnn run {shlex.quote(name)}.yaml --set {again}  # the file below, as a new sweep"]
    if best is not None:
        commands.append(f"convnn train {shlex.quote(name)}-best.yaml  # the best trial's file, below")
    unknown = "The folder has no manifest.json, so the code and packages of the sweep are unknown."
    notes = [] if data.starts else [unknown]
    rows = _over(list(map(_ran_with, data.starts)))
    if len(data.starts) > 1 and any(len(values) > 1 for values in rows.values()):
        notes.append(f"It was started {len(data.starts)} times, with different versions; all are listed, in order.")
    pairs = [
        ("first started", data.started or "not recorded"),
        *(("command", _command(start)) for start in data.starts[:1]),
        *((what, " / then ".join(values)) for what, values in rows.items()),
    ]
    file = data.folder.spec
    texts = [("The sweep's file", without_password(file.read_text("utf-8")) if file.exists() else "missing")]
    if best is not None and data.spec is not None:
        whole = TrialHistory(data.folder, best, [], []).sweep_file()
        texts.append((f"The best trial's file: trial {best.number}", whole))
    return _Reproduce(commands, notes, pairs, texts)


def _command(start: dict[str, Any]) -> str:
    program, *arguments = start.get("command") or [""]
    return shlex.join([Path(program).name, *arguments])


def _ran_with(start: dict[str, Any]) -> dict[str, str]:
    """Return everything that results may depend on, for one start of the sweep."""
    git = start.get("git")
    changed = ", with uncommitted changes (see manifest.json)" if git and git["dirty"] else ""
    return {
        "git commit": f"{git['sha']}{changed}" if git else "not run in a repository",
        **{f"data {name}": str(digest) for name, digest in start.get("data_digests", {}).items()},
        **{name.replace("_", " "): str(start[name]) for name in ("image", "image_digest") if start.get(name)},
        **{name: str(start[name]) for name in ("python", "platform") if start.get(name)},
        **{package: str(version) for package, version in start.get("packages", {}).items()},
    }


def _over(starts: list[dict[str, str]]) -> dict[str, list[str]]:
    """Return by name the different values of all starts, in order; `none` if a start lacks a value."""
    names = dict.fromkeys(name for start in starts for name in start)
    return {name: list(dict.fromkeys(start.get(name, "none") for start in starts)) for name in names}
