"""The gate for what comes from a cluster: its replies and names are a remote party's text, and are checked here.

What has passed may be used as it is. What has not is one line with the cluster's address and what is wrong, and nothing
of it is written. Whoever else runs jobs on a cluster can name them as he likes, and answer in place of it.
"""

import re
from typing import Annotated, Self, TypeVar

from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from search_spaces.settings import NAME_RULE, is_name
from tune_jobs.errors import ClusterError

LARGEST_REPLY = 64 * 2**20
"""Bytes of a reply that is held in memory; the largest are logs."""

_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SHOWN = 100
_LONGEST_LINE = 1000


def shown(text: object) -> str:
    """A remote party's text in a message: short, in one line, and nothing that a terminal obeys."""
    plain = repr(str(text))
    return plain if len(plain) <= _SHOWN else f"{plain[:_SHOWN]}..."


def plain_line(text: str) -> str:
    """The text in one line, without what a terminal obeys, and not for ever."""
    return _safe(text).replace("\n", " ").replace("\t", " ")[:_LONGEST_LINE]


def _safe(text: str) -> str:
    """The text without what a terminal obeys; lines and tabs stay."""
    return _OBEYED.sub("", text)


def _name(text: str) -> str:
    if not is_name(text):
        raise ValueError(f"a sweep's name is {NAME_RULE}, got {shown(text)}")
    return text


def _version(text: str | None) -> str | None:
    try:
        return text if text is None or Version(text) else None
    except InvalidVersion as error:
        raise ValueError(f"{shown(text)} is no version") from error


Line = Annotated[str, Field(max_length=10_000), AfterValidator(plain_line)]
Words = Annotated[str, AfterValidator(_safe)]
SweepName = Annotated[str, AfterValidator(_name)]
AVersion = Annotated[str | None, AfterValidator(_version)]


class Reply(BaseModel):
    """What a cluster says; more than is known of it is left out."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class VersionReply(Reply):
    """Of the dashboard."""

    ray_version: Line


class JobReply(Reply):
    """One job as Ray describes it."""

    submission_id: Line | None = None
    status: Annotated[str, Field(pattern="^[A-Z_]{1,40}$")]
    message: Words | None = None
    driver_exit_code: int | None = None
    metadata: dict[str, str] | None = None
    start_time: int | None = None
    end_time: int | None = None


class LogReply(Reply):
    """The log of a job."""

    logs: str


class Command(Reply):
    """What a job of ours says of itself: the sweep that it runs, and how."""

    sweep: SweepName
    command: Annotated[str, Field(pattern="^[a-z]{1,20}$")]
    storage: Line = ""


class Answer(Reply):
    """What a command printed there."""

    code: int
    out: Words
    err: Words


class Refusal(Reply):
    """An error that a small job came to."""

    kind: Line
    message: Words


class Driver(Reply):
    """The process that runs a sweep."""

    model_config = ConfigDict(extra="allow")

    host: Line
    pid: int


class Origin(Reply):
    """Where a copy comes from, and what it lacks."""

    host: Line
    path: Line
    left_out_bytes: Annotated[int, Field(ge=0)]
    driver: Driver | None


class ListedSeeds(Reply):
    """The best configuration over its seeds."""

    mean: float
    sd: float
    seeds: int
    trials: list[int] = []


class ListedSweep(Reply):
    """One sweep of a list; `error` says why nothing else is known of it."""

    name: Line
    error: Line | None
    state: Line = ""
    trials: int = 0
    ended: int = 0
    planned: int | None = None
    repeats: int = 1
    configurations_ended: int = 0
    metric: Line = ""
    best: float | None = None
    best_at_epoch: int | None = None
    seeds: ListedSeeds | None = None
    started: Line | None = None


class SweepList(Reply):
    """The sweeps in a folder."""

    storage: Line
    sweeps: list[ListedSweep]


class _Storage(Reply):
    path: Line
    error: Line | None
    free_gb: float | None

    @model_validator(mode="after")
    def _says_what_is_free(self) -> Self:
        if self.error is None and self.free_gb is None:
            raise ValueError("must say free_gb or an error")
        return self


class _Images(Reply):
    name: Line
    root: Line | None
    digests: dict[Line, Line] | None
    error: Line | None

    @model_validator(mode="after")
    def _has_digests_or_an_error(self) -> Self:
        if self.error is None and not self.digests:
            raise ValueError("must say digests or an error")
        return self


class _Gpus(Reply):
    there: int
    torch: list[Line]


class _Resources(Reply):
    CPU: float
    GPU: float
    memory: float


class _Plugin(Reply):
    version: Line
    digest: Line


class _Silent(Reply):
    """A machine that could not be asked."""

    node_id: Line
    host: Line
    address: Line
    resources: _Resources
    error: Line


class _Machine(Reply):
    node_id: Line
    host: Line
    address: Line
    resources: _Resources
    error: None
    python: AVersion
    versions: dict[Line, AVersion]
    code: Line | None
    plugins: dict[Line, _Plugin] = {}
    image: Line | None
    sees_storage: bool
    writes_storage: bool
    gpus: _Gpus
    data: list[_Images]


class _Check(Reply):
    check: Line
    ok: bool
    says: Line
    mend: Line | None = None


class Probed(Reply):
    """What a cluster has."""

    ray: Line
    storage: _Storage
    nodes: Annotated[list[_Machine | _Silent], Field(min_length=1)]
    tracker: _Check | None = None


Content = TypeVar("Content")


def read_reply(kind: type[Content], content: bytes | str, source: str) -> Content:
    """A reply of the cluster at the address `source`, as what it must be.

    Raises:
        ClusterError: If it is too large, no JSON, or of another shape: where, and what is wrong there.
    """
    if len(content) > LARGEST_REPLY:
        raise malformed(source, f"it has more than {LARGEST_REPLY // 2**20} MiB")
    try:
        return TypeAdapter(kind).validate_json(content)
    except (ValidationError, UnicodeError) as error:
        raise malformed(source, _first(error)) from error


def _first(error: ValidationError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "it is no text"
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return (
        f"{plain_line(place)[:_SHOWN]}: {plain_line(first['msg'])[: 3 * _SHOWN]}" if place else plain_line(first["msg"])
    )


def malformed(source: str, wrong: str) -> ClusterError:
    """What is said of a reply or an archive that cannot be used."""
    return ClusterError(
        f"the cluster at {source} sent what cannot be used: {wrong}; is that the address of a Ray dashboard, and the "
        f"same version of this program there?"
    )


def is_job_id(text: str) -> bool:
    """Whether a text can be a job's id, and so a part of an address."""
    return _JOB_ID.fullmatch(text) is not None


def command_of(job_id: str, metadata: dict[str, str], source: str) -> Command:
    """What a job of ours runs.

    Raises:
        ClusterError: If that is no sweep and command of ours, naming the job.
    """
    try:
        return Command.model_validate(metadata)
    except ValidationError as error:
        raise malformed(source, f"job {shown(job_id)}, {_first(error)}") from error
