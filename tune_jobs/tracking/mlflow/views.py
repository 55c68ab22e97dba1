"""What a person sees first in MLflow: an experiment's view of its trials, and a sweep's description.

A view is an experiment tag that MLflow's page offers in its menu "Views", and opens by its key in the address.
"""

import json

from search_spaces import TrialConfig
from search_spaces.headline import HEADLINE, headline
from tune_jobs.results.summary import Row, Summary

COMPLETE, ALL = "complete", "trials"
"""The keys of the two views: values of trials that did not run to the end do not compare with the others'."""

VIEW_TAG = "mlflow.sharedViewState."
"""With the key of a view: the tag of an experiment that has it."""

SHOWN = 5
"""Trials in a description."""

LOCAL_SERVER = "http://127.0.0.1:5000"
"""Where `mlflow server` is found unless it is told otherwise."""


def experiment_tags(metric: str, goal: str) -> dict[str, str]:
    """Tags of an experiment that was made for sweeps: it is of models, and its views have each trial once."""
    shown = [f"metrics.`{metric}`", "metrics.`gflops`", *(f"params.`{name}`" for name in HEADLINE)]
    each_once = "tags.superseded IS NULL and params.lambda IS NOT NULL"
    complete = f"{each_once} and tags.excluded IS NULL and attributes.status = 'FINISHED'"
    views = {
        COMPLETE: ("Complete trials", complete, shown),
        ALL: ("All trials", each_once, ["tags.`state`", *shown]),
    }
    tags = {"mlflow.experimentKind": "custom_model_development"}
    for key, (name, runs, columns) in views.items():
        order = {"orderByKey": f"metrics.`{metric}`", "orderByAsc": goal == "minimize"}
        state = json.dumps({"searchFilter": runs, **order, "selectedColumns": columns})
        tags[f"{VIEW_TAG}{key}"] = json.dumps({"name": name, "createdAt": 0, "updatedAt": 0, "state": state})
    return tags


def trials_page(uri: str, experiment_id: str) -> str | None:
    """The address of an experiment's view of its complete trials.

    Args:
        uri: The tracker: a server, or an SQLite store, which is served from `LOCAL_SERVER` then; `None` for another.
        experiment_id: MLflow's number of it.
    """
    server = LOCAL_SERVER if uri.startswith("sqlite:") else uri.rstrip("/")
    if not server.startswith(("http://", "https://")):
        return None
    return f"{server}/#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={COMPLETE}"


def description(found: Summary, runs: dict[str, str], experiment_id: str) -> str:
    """A sweep in Markdown: how it stands, and its best trials with links to their runs.

    Args:
        found: How it stands.
        runs: MLflow's run of each trial, by run key.
        experiment_id: MLflow's experiment.
    """

    def link(row: Row, text: str) -> str:
        run = runs.get(row.run_key)
        return f"[{text}](#/experiments/{experiment_id}/runs/{run}?workflowType=machine_learning)" if run else text

    best, planned = found.best, f" of {found.planned}" if found.planned else ""
    ended = found.count("complete", "stopped")
    lines = [f"{ended}{planned} trials have ended without a failure; `convnn show {found.name}` has all."]
    if best is not None:
        lines.insert(0, f"Best: **{link(best, f'trial {best.number}')}**, {found.metric} **{best.value:.4f}**.")
        names = ["trial", found.metric, "epoch", *HEADLINE]
        lines += ["", f"| {' | '.join(names)} |", f"|{' --- |' * len(names)}"]
    for row in [row for row in found.rows if row.counts][:SHOWN]:
        epoch = f"{row.epoch}/{row.config.training.epochs}"
        cells = [link(row, str(row.number)), f"{row.value:.4f}", epoch, *_parameters(row.config)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _parameters(config: TrialConfig) -> list[str]:
    values = headline(config)
    return [
        "-" if values[name] is None else f"{values[name]:.4g}" if name == "lr" else str(values[name])
        for name in HEADLINE
    ]
