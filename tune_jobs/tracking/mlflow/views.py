"""Pages in MLflow: an experiment's views of its trials, and a sweep's description.

A view is an experiment tag. MLflow's page offers it in the menu "Views", and opens it by the key in the address.
"""

import contextlib
import getpass
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from search_spaces import TrialConfig, config_key
from search_spaces.headline import HEADLINE
from tune_jobs.record.rows import ENOUGH
from tune_jobs.results.columns import Column, in_a_line, label, names_of_params
from tune_jobs.results.row import Row
from tune_jobs.results.summary import Summary, state_of

COMPLETE, ALL = "complete", "trials"
"""Keys of the two views; the values of trials that ended early are not comparable with those of others."""

VIEW_TAG = "mlflow.sharedViewState."
"""Prefix of the experiment tag of a view, before the view's key."""

SHOWN = 5
"""Number of trials in a description."""

EACH_ONCE = "tags.superseded IS NULL and tags.role IS NULL and params.lambda IS NOT NULL"
"""Filter for the runs that show each trial of the search once, and nothing else."""

LINES = {
    "lineSmoothness": 0,
    "xAxisKey": "step",
    "xAxisScaleType": "linear",
    "scaleType": "linear",
    "range": {},
    "yAxisKey": "metric",
    "yAxisExpressions": [],
    "useGlobalXaxisKey": True,
    "useGlobalLineSmoothing": True,
}
"""MLflow's default settings for a line chart; MLflow needs all of them."""

LOCAL_SERVER = "http://127.0.0.1:5000"
"""Default address of `mlflow server`."""


def experiment_tags(metric: str, goal: str, columns: Sequence[Column] = ()) -> dict[str, str]:
    """Return the tags of a new experiment for sweeps: its kind, and views that show each trial once.

    The columns are the objective, the paper's parameters, and the other fields that vary; MLflow sorts parameters by
    name. The charts start with the objective, too.
    """
    names = dict.fromkeys((*HEADLINE, *(name for column in columns for name in names_of_params(column))))
    shown = [f"metrics.`{metric}`", *(f"params.`{name}`" for name in names)]
    complete = f"{EACH_ONCE} and tags.excluded IS NULL and attributes.status = 'FINISHED'"
    views = {
        COMPLETE: ("Complete trials", complete, shown),
        ALL: ("All trials", EACH_ONCE, [*shown, "tags.`state`"]),
    }
    tags = {"mlflow.experimentKind": "custom_model_development"}
    for key, (name, runs, selected) in views.items():
        order = {"orderByKey": f"metrics.`{metric}`", "orderByAsc": goal == "minimize"}
        state = {"searchFilter": runs, **order, "selectedColumns": selected, **_charts(metric, columns)}
        view = {"name": name, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)}
        tags[f"{VIEW_TAG}{key}"] = json.dumps(view)
    return tags


def _charts(metric: str, columns: Sequence[Column]) -> dict[str, Any]:
    """Return MLflow's first charts: all trials in parallel coordinates, and the objective at each epoch.

    MLflow adds a chart for every other metric, in separate sections below.
    """
    section, axes = "objective", [column.axis for column in columns if column.axis is not None]
    plot = {"type": "PARALLEL", "selectedParams": axes, "selectedMetrics": [metric], "showAllRuns": True}
    curves = {"type": "LINE", "metricKey": metric, "selectedMetricKeys": [metric], **LINES}
    ours = {"parallel": plot, "curves": curves} if axes else {"curves": curves}
    place = {"metricSectionId": section, "deleted": False, "isGenerated": False}
    named = {"uuid": section, "name": f"Objective: {metric}", "display": True, "isReordered": False}
    return {
        "compareRunCharts": [{"uuid": key, **chart, **place} for key, chart in ours.items()],
        "compareRunSections": [named],
        "isAccordionReordered": True,  # else MLflow sorts the sections by name
    }


def trials_page(uri: str, experiment_id: str, view: str = COMPLETE) -> str | None:
    """Return the address of a view of an experiment's trials; `None` for a tracker without a web page.

    Args:
        uri: The tracker: a server, or an SQLite store that is served at `LOCAL_SERVER`.
        experiment_id: The experiment's id in MLflow.
        view: COMPLETE or ALL.
    """
    server = LOCAL_SERVER if uri.startswith("sqlite:") else uri.rstrip("/")
    if not server.startswith(("http://", "https://")):
        return None
    return f"{server}/#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={view}"


def overview_page(server: str) -> str:
    """Return the address of the list of all experiments."""
    return f"{server.rstrip('/')}/#/experiments"


def comparison_page(server: str, experiment_ids: Sequence[str], metric: str, goal: str) -> str:
    """Return the address of a table with the trials of several experiments, the best first."""
    order = {"orderByKey": f"metrics.`{metric}`", "orderByAsc": str(goal == "minimize").lower()}
    chosen = {"experiments": json.dumps(sorted(experiment_ids)), "searchFilter": EACH_ONCE, **order}
    return f"{server.rstrip('/')}/#/compare-experiments/s?{urlencode(chosen, quote_via=quote)}"


def description(found: Summary, runs: dict[str, str], experiment_id: str) -> str:
    """Describe a sweep in Markdown: its status, and its best trials with links to their runs.

    Args:
        found: The sweep's summary.
        runs: MLflow's run of each trial, by run key.
        experiment_id: The experiment's id in MLflow.
    """

    def link(row: Row, text: str) -> str:
        run = runs.get(row.run_key)
        return f"[{text}](#/experiments/{experiment_id}/runs/{run}?workflowType=machine_learning)" if run else text

    state = state_of(found, running=False)
    best, planned = found.best, f" of {found.planned}" if found.planned else ""
    ended = f"{found.count('complete', 'stopped')}{planned} trials have ended without a failure"
    if found.by_configuration:
        ended = f"{found.configurations_ended}{planned} configurations have ended"
    columns = [each for each in found.columns if not (found.by_configuration and each.key == "training.seed")]
    lines = [f"{ended}; `convnn show {found.name}` lists all."]
    if state == ENOUGH:
        lines.append(f"The remaining trials were not needed (`stopping.enough`); `convnn show {found.name}` says why.")
    if best is not None:
        lines.insert(0, f"Best: **{link(best, f'trial {best.number}')}**, {found.metric} **{found.best_said}**.")
        names = ["trial", found.metric, "epoch", *(column.name for column in columns)]
        lines += ["", f"| {' | '.join(names)} |", f"|{' --- |' * len(names)}"]
    for each in [each for each in found.configurations if each.rows[0].counts][:SHOWN]:
        row = each.rows[0]
        epoch = f"{row.epoch}/{row.config.training.epochs}"
        values = (label(row.fields.get(column.key)) for column in columns)
        cells = [link(row, str(row.number)), each.said(found.metric), epoch, *values]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def best_values(found: Summary) -> dict[str, float]:
    """Return the best result for the sweep's own run; with several seeds, the mean and spread of its configuration."""
    name, complete = f"best/{found.metric}", found.configurations[0].complete
    values = {} if found.best_value is None else {name: found.best_value}
    if found.repeats > 1:
        values["best/seeds"] = len(complete.rows)
    if found.repeats > 1 and len(complete.rows) > 1:
        values[f"{name}/sd"] = complete.spread
    return values


def run_tags(
    sweep: str, number: int, config: TrialConfig, columns: Sequence[Column], repeat_of: str | None = None
) -> dict[str, str]:
    """Return the tags of a trial's run: its description in Markdown, its configuration, and its user."""
    what = in_a_line(config, columns) or "the sweep's only configuration"
    told = (
        f"Trial {number} of `{sweep}`: {what}.\n\nIts epochs and log: `convnn show {sweep} {number}`; "
        f"its file, for `convnn train`: `convnn show {sweep} {number} --yaml`."
    )
    tags = {"mlflow.note.content": told, "mlflow.source.name": f"convnn run {sweep}", "mlflow.source.type": "JOB"}
    tags["config_key"] = config_key(config)
    if repeat_of is not None:
        tags["repeat_of"] = repeat_of
    with contextlib.suppress(KeyError, OSError):  # a container's user may have no name
        tags["mlflow.user"] = getpass.getuser()
    return tags
