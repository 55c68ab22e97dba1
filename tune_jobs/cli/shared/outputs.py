"""The types of what the commands print with --json; `convnn schema --output` makes JSON Schemas from them.

Numbers that JSON lacks (NaN, infinity) are printed as null.
"""

from typing import Any, Literal, NotRequired

from pydantic import TypeAdapter
from typing_extensions import TypedDict  # typing's own is not enough for pydantic before Python 3.12

from search_spaces.domains import Scalar
from search_spaces.reading.likeness import nearest
from tune_jobs.doctor.finding import Finding
from tune_jobs.errors import UsageError
from tune_jobs.evidence.pairs import SweepComparison
from tune_jobs.evidence.paper import ComparedWithPaper
from tune_jobs.evidence.printed import ConfirmedPrinted, ConfirmedRun
from tune_jobs.evidence.replayed import Replayed
from tune_jobs.failures import Failure
from tune_jobs.planning.plan import Plan
from tune_jobs.record.disk import Disk
from tune_jobs.record.meta import Goal
from tune_jobs.record.rows import Attempt, Halted, Role, Usage
from tune_jobs.report.findings import EffectsFound
from tune_jobs.report.more import MoreTrials
from tune_jobs.search.risk import Risk
from tune_jobs.simulate.outcome import Simulated
from tune_jobs.tracking.base import Tracked

Numbers = dict[str, float | None]
Tree = dict[str, Any]
"""A configuration, with the fields of sweep files."""

State = Literal["running", "done", "enough", "unfinished"]
"""The state of a sweep; `enough`: ended by stopping.enough, with trials left."""


class Trial(TypedDict):
    """One trial."""

    trial: int
    run_key: str
    repeat_of: str | None
    seed: int
    state: Literal["waiting", "running", "complete", "stopped", "diverged", "failed", "interrupted"]
    reason: str | None
    failure: Failure | None
    excluded: str | None
    epoch: int
    epochs: int
    value: float | None
    metrics: Numbers
    params: dict[str, Scalar]


class ComparedTrial(Trial):
    """One trial of a list, with its values of the columns."""

    varying: dict[str, Scalar]


class BestTrial(ComparedTrial):
    """One trial, and its configuration."""

    config: Tree


class WholeTrial(Trial):
    """One trial, its configuration, attempts, and the metrics of every epoch with its time."""

    config: Tree
    role: Role
    confirmation: NotRequired[ConfirmedRun]
    """Only for a run of a confirmation: its role there."""

    excluded_at: float | None
    attempts: list[Attempt]
    epoch_metrics: list[dict[str, float | str | None]]


class Seeds(TypedDict):
    """Mean and standard deviation of a configuration over its seeds."""

    mean: float
    sd: float
    seeds: int
    trials: list[int]


class Sweep(TypedDict):
    """A sweep and its trials, best first."""

    sweep: str
    metric: str
    goal: Goal
    planned: int | None
    repeats: int
    configurations_ended: int
    used: Usage
    budget: dict[str, float]
    halted: Halted | None
    failures: dict[Failure, int]
    ranked_at_epoch: int | None
    columns: list[str]
    constants: dict[str, Scalar]
    trials: list[ComparedTrial]


class PlacedSweep(Sweep):
    """A sweep and its folder."""

    folder: str


class ShownSweep(PlacedSweep):
    """A sweep, its folder, and its configurations with several seeds."""

    state: State
    seeds: list[Seeds]


class Ended(PlacedSweep):
    """How a run of a sweep ended."""

    exhausted: bool
    interrupted: int | None
    note: str | None
    tracker: Tracked


class Best(TypedDict):
    """The best trials of a sweep."""

    sweep: str
    metric: str
    goal: Goal
    repeats: int
    ranked_at_epoch: int | None
    seeds: Seeds | None
    trials: list[BestTrial]


class ListedSweep(TypedDict):
    """A summary of a sweep."""

    name: str
    error: None
    state: State
    trials: int
    ended: int
    planned: int | None
    repeats: int
    configurations_ended: int
    metric: str
    best: float | None
    best_at_epoch: int | None
    seeds: Seeds | None
    started: str | None
    storage: NotRequired[str]


class UnreadableSweep(TypedDict):
    """A sweep whose record cannot be read, and why."""

    name: str
    error: str
    storage: NotRequired[str]


class Listed(TypedDict):
    """The sweeps of a folder; with --address, the sweeps and jobs of a cluster."""

    storage: NotRequired[str]
    address: NotRequired[str]
    sweeps: list[ListedSweep | UnreadableSweep]
    jobs: NotRequired[list[dict[str, str]]]


class Driver(TypedDict):
    """The process that runs a sweep."""

    host: str
    pid: int
    since: float
    process: NotRequired[dict[str, Any]]


class Job(TypedDict):
    """A job of a cluster."""

    id: str
    status: str
    message: str


class Status(TypedDict):
    """Whether a sweep is running, and its progress."""

    running: bool
    state: State
    driver: Driver | None
    job: Job | None
    place: str
    standing: Sweep | None
    risk: Risk | None
    disk_bytes: Disk | None


class Problem(TypedDict):
    """A mistake in a sweep file."""

    source: str
    line: int
    column: int
    path: str
    message: str


class Invalid(TypedDict):
    """Every mistake of a sweep file."""

    valid: Literal[False]
    problems: list[Problem]


class Objective(TypedDict):
    """The objective of a sweep."""

    metric: str
    goal: Goal


class Valid(TypedDict):
    """What a sweep file would search."""

    valid: Literal[True]
    name: str
    sampler: str
    trials: int | None
    repeats: int
    stopping: str
    protocol: str
    objective: Objective
    domains: dict[str, str]
    constraints: list[str]
    points: int | None
    never: list[str]
    looked_at: int
    infeasible: dict[str, int]
    notes: list[str]
    warnings: list[str]


class Report(TypedDict):
    """The files of a report, and the expected gain from more trials."""

    sweep: str
    report: str
    png: list[str]
    csv: list[str]
    more_trials: MoreTrials
    effects: EffectsFound


class Exclusion(Trial):
    """The trial that was excluded or included."""

    sweep: str


class Served(TypedDict):
    """The page that a browser opens."""

    page: str
    """Its address; if this machine serves it, only until the command ends."""

    sweeps: list[str]
    """The sweeps on the page."""


class Synced(TypedDict):
    """Where a sweep was synced to."""

    sweep: str
    tracker: Tracked


class Checks(TypedDict):
    """The results of `convnn doctor`."""

    ok: bool
    checks: list[Finding]


class Trained(TypedDict):
    """One configuration, and the metrics of every epoch."""

    config_key: str
    config: Tree
    epochs: list[Numbers]


class Preset(TypedDict):
    """A sweep that comes with the package."""

    name: str
    summary: str


OUTPUTS: dict[str, Any] = {
    "best": Best,
    "compare": ComparedWithPaper | SweepComparison,
    "confirm": ConfirmedPrinted,
    "doctor": Checks,
    "exclude": Exclusion,
    "extend": Ended,
    "list": Listed,
    "plan": Plan,
    "presets": list[Preset],
    "replay": Replayed,
    "report": Report,
    "resume": Ended,
    "retry": Ended,
    "run": Ended,
    "show": ShownSweep | WholeTrial,
    "simulate": Simulated,
    "status": Status,
    "sync": Synced,
    "train": Trained,
    "ui": Served,
    "validate": Valid | Invalid,
}
"""Types by command. Commands that run a sweep print this if it runs from this machine."""


def output_schema(command: str) -> dict[str, Any]:
    """Return the JSON Schema of what a command prints with --json.

    Raises:
        UsageError: If the command does not exist or has no schema.
    """
    if command not in OUTPUTS:
        raise UsageError(f"--output must be a command with a schema, got {command!r}; {nearest(command, OUTPUTS)}")
    made = TypeAdapter(OUTPUTS[command]).json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": f"convnn {command} --json"}
