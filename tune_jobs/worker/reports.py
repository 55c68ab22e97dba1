"""What a worker tells the driver of its attempt, as typed values; on the way they are plain data."""

import json
from dataclasses import dataclass
from typing import Any

from tune_jobs.failures import Failure
from tune_jobs.record import environment
from tune_jobs.record.environment import Environment


@dataclass(frozen=True)
class Begun:
    """Comes first: the id and the name of the worker's machine, and whether that sees the sweep's folder."""

    node: str | None
    host: str
    shared: bool


@dataclass(frozen=True)
class ResumedFrom:
    """Training goes on after `epoch`, 0 from the start.

    `note` says what was wrong with a checkpoint, or what differs from where it was written; `device` is `cpu`, or the
    GPU's name.
    """

    epoch: int
    note: str | None
    device: str
    environment: Environment | None = None
    """In what it trains; `None` where nothing does."""


@dataclass(frozen=True)
class EpochDone:
    """The metrics of an epoch."""

    epoch: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class StoppedWithSweep:
    """The sweep is stopping, and the state is kept."""


@dataclass(frozen=True)
class AttemptFailed:
    """What went wrong; see `tune_jobs.failures`."""

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
    """For the way to the driver: flat, with `kind`; the metrics and the environment are JSON."""
    kind = next(name for name, made in _KINDS.items() if isinstance(report, made))
    sent = {"kind": kind, **vars(report)}
    if isinstance(report, EpochDone):
        sent["metrics"] = json.dumps(report.metrics)
    elif isinstance(report, ResumedFrom):
        sent["environment"] = environment.encode(report.environment)
    return sent


def decode(sent: dict[str, Any]) -> Report:
    """The report that was sent, whatever else has been put beside it."""
    made = _KINDS[sent["kind"]]
    fields = {name: sent[name] for name in made.__dataclass_fields__}
    if made is EpochDone:
        fields["metrics"] = json.loads(sent["metrics"])
    elif made is ResumedFrom:
        fields["environment"] = environment.decode(sent["environment"])
    return made(**fields)
