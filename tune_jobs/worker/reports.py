"""Reports from a worker to the driver about its attempt: typed values, sent as plain data."""

import json
from dataclasses import dataclass
from typing import Any

from tune_jobs.failures import Failure
from tune_jobs.record import environment
from tune_jobs.record.environment import Environment


@dataclass(frozen=True)
class Begun:
    """The first report: the id and name of the worker's machine, and whether it can access the sweep's folder."""

    node: str | None
    host: str
    shared: bool


@dataclass(frozen=True)
class ResumedFrom:
    """Training resumes after `epoch`; 0 if it starts from the beginning.

    `note` says what was wrong with a checkpoint, or what differs from the environment where it was saved. `device` is
    `cpu`, or the GPU's name.
    """

    epoch: int
    note: str | None
    device: str
    environment: Environment | None = None
    """The environment in which it trains; `None` if nothing is trained."""


@dataclass(frozen=True)
class EpochDone:
    """The metrics of an epoch."""

    epoch: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class StoppedWithSweep:
    """The sweep is stopping, and the state was saved."""


@dataclass(frozen=True)
class AttemptFailed:
    """Why the attempt failed; see `tune_jobs.failures`."""

    failure: Failure
    reason: str


Report = Begun | ResumedFrom | EpochDone | StoppedWithSweep | AttemptFailed
_KINDS: dict[str, type[Report]] = {
    "begin": Begun,
    "origin": ResumedFrom,
    "epoch": EpochDone,
    "stopped": StoppedWithSweep,
    "failed": AttemptFailed,
}


def encode(report: Report) -> dict[str, Any]:
    """Encode a report for the driver: a flat mapping with `kind`; the metrics and the environment are JSON."""
    kind = next(name for name, made in _KINDS.items() if isinstance(report, made))
    sent = {"kind": kind, **vars(report)}
    if isinstance(report, EpochDone):
        sent["metrics"] = json.dumps(report.metrics)
    elif isinstance(report, ResumedFrom):
        sent["environment"] = environment.encode(report.environment)
    return sent


def decode(sent: dict[str, Any]) -> Report:
    """Decode a report; other entries of the mapping are ignored."""
    made = _KINDS[sent["kind"]]
    fields = {name: sent[name] for name in made.__dataclass_fields__}
    if made is EpochDone:
        fields["metrics"] = json.loads(sent["metrics"])
    elif made is ResumedFrom:
        fields["environment"] = environment.decode(sent["environment"])
    return made(**fields)
