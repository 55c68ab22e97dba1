"""Which MLflow run an attempt's epochs belong to, and that run's content; computed from the ledger only."""

from collections.abc import Callable
from typing import Any

from tune_jobs.record.rows import Attempt, Epoch
from tune_jobs.system.json_text import json_text

DIGEST = 36
"""Maximum length of a digest in MLflow."""

STATUS = {
    "complete": "FINISHED",
    "stopped": "KILLED",
    "diverged": "FAILED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}
"""MLflow's run status for each attempt state."""


def opener_of(attempt: int, epochs: list[Epoch]) -> int:
    """Return the attempt to whose run an attempt's epochs belong: itself, or an earlier one if no epoch is repeated.

    The result depends only on the trial's epochs, not on what was synced when.
    """
    for number in range(attempt, 1, -1):
        own = [epoch.epoch for epoch in epochs if epoch.attempt == number]
        earlier = [epoch.epoch for epoch in epochs if epoch.attempt < number]
        if own and earlier and min(own) <= max(earlier):
            return number
    return 1


def earlier_epochs(own: list[Epoch], epochs: list[Epoch], *, below: bool) -> list[Epoch]:
    """Return the epochs before an attempt's first, or after its last, each from the last earlier attempt."""
    if not own:
        return []
    earlier = sorted((e for e in epochs if e.attempt < own[0].attempt), key=lambda e: e.attempt)
    latest = {epoch.epoch: epoch for epoch in earlier}.values()
    return [e for e in latest if (e.epoch < own[0].epoch if below else e.epoch > own[-1].epoch)]


def end_tags(attempt: Attempt, *, goes_on: bool) -> dict[str, str]:
    """Return tags for how an attempt ended. If it continues an earlier run, `none` overwrites that attempt's values."""
    tags: dict[str, str | None] = {"state": attempt.state, "reason": attempt.reason, "failure": attempt.failure}
    return {name: value or "none" for name, value in tags.items() if value or goes_on}


def place_tags(attempt: Attempt) -> dict[str, str]:
    """Return tags for where an attempt runs, as far as known."""
    told = {"host": attempt.host, "device": attempt.device}
    if (here := attempt.environment) is not None:
        told |= {"threads": str(here.threads), "cpu": here.cpu, "torch": here.packages.get("torch"), "code": here.code}
    return {name: value for name, value in told.items() if value}


def numbers(epochs: list[Epoch], objective: str) -> list[Any]:
    """Return the metrics of epochs, the objective first: MLflow compares runs by the first metric it received."""
    from mlflow.entities import Metric

    return [
        Metric(name, value, int(epoch.at * 1000), epoch.epoch)
        for epoch in epochs
        for name, value in sorted(epoch.metrics.items(), key=lambda item: item[0] != objective)
    ]


def datasets(data: str, digest_of: Callable[[str], str | None]) -> list[Any]:
    """Return the images of a trial, identified by digest, as data sets of its run."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = []
    for split, context in (("train", "training"), ("test", "testing")):
        name = f"{data}.{split}"
        if (digest := digest_of(name)) is not None:
            source = json_text({"data": data, "split": split, "sha256": digest})
            found = Dataset(name, digest[:DIGEST], "local", source)
            inputs.append(DatasetInput(found, [InputTag("mlflow.data.context", context)]))
    return inputs
