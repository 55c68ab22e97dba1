"""Checks everything that comes from a cluster: replies and names are text of a remote party.

Checked values are safe to use. A value that fails becomes a one-line error with the cluster's address and the problem,
and nothing of it is written. Other users of a cluster can give their jobs any name, and can answer in its place.
"""

import re
from typing import Annotated, Self, TypeVar

from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from search_spaces.settings import NAME_RULE, is_name
from tune_jobs.errors import ClusterError

LARGEST_REPLY = 64 * 2**20
"""Maximum size of a reply held in memory, in bytes; the largest replies are logs."""

_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SHOWN = 100
_LONGEST_LINE = 1000


def shown(text: object) -> str:
    """Format a remote party's text for a message: short, in one line, without control characters."""
    plain = repr(str(text))
    return plain if len(plain) <= _SHOWN else f"{plain[:_SHOWN]}..."


def plain_line(text: str) -> str:
    """Return the text as one line of limited length, without control characters."""
    return _safe(text).replace("\n", " ").replace("\t", " ")[:_LONGEST_LINE]


def _safe(text: str) -> str:
    """Return the text without control characters; line breaks and tabs stay."""
    return _OBEYED.sub("", text)


def _name(text: str) -> str:
    if not is_name(text):
        raise ValueError(f"a sweep's name is {NAME_RULE}, got {shown(text)}")
    return text


def _version(text: str | None) -> str | None:
    try:
        return text if text is None or Version(text) else None
    except InvalidVersion as error:
        raise ValueError(f"{shown(text)} is not a version") from error


Line = Annotated[str, Field(max_length=10_000), AfterValidator(plain_line)]
Words = Annotated[str, AfterValidator(_safe)]
SweepName = Annotated[str, AfterValidator(_name)]
AVersion = Annotated[str | None, AfterValidator(_version)]


class Reply(BaseModel):
    """A reply of a cluster; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class VersionReply(Reply):
    """The dashboard's version of Ray."""

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
    """The metadata of a job of this package: the sweep that it runs, and the command."""

    sweep: SweepName
    command: Annotated[str, Field(pattern="^[a-z]{1,20}$")]
    storage: Line = ""


class Answer(Reply):
    """The output of a command on the cluster."""

    code: int
    out: Words
    err: Words


class Refusal(Reply):
    """An error of a small job."""

    kind: Line
    message: Words


class Driver(Reply):
    """The process that runs a sweep."""

    model_config = ConfigDict(extra="allow")

    host: Line
    pid: int


class Origin(Reply):
    """Where a copy comes from, and what was left out."""

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
    """One sweep of a list. If there is an `error`, nothing else is known about the sweep."""

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


class _Silent(Reply):
    """A machine that could not be examined."""

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
    image: Line | None
    sees_storage: bool
    writes_storage: bool
    gpus: _Gpus
    data: list[_Images]


class _Check(Reply):
    check: Line
    ok: bool
    says: Line
    fix: Line | None = None


class Probed(Reply):
    """What a cluster has, as found by a probe."""

    ray: Line
    storage: _Storage
    nodes: Annotated[list[_Machine | _Silent], Field(min_length=1)]
    tracker: _Check | None = None


Content = TypeVar("Content")


def read_reply(kind: type[Content], content: bytes | str, source: str) -> Content:
    """Validate a reply of the cluster at the address `source`.

    Raises:
        ClusterError: If it is too large, not JSON, or does not match `kind`; it names the field and the problem.
    """
    if len(content) > LARGEST_REPLY:
        raise malformed(source, f"the reply has more than {LARGEST_REPLY // 2**20} MiB")
    try:
        return TypeAdapter(kind).validate_json(content)
    except (ValidationError, UnicodeError) as error:
        raise malformed(source, _first(error)) from error


def _first(error: ValidationError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "the reply is not text"
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return (
        f"{plain_line(place)[:_SHOWN]}: {plain_line(first['msg'])[: 3 * _SHOWN]}" if place else plain_line(first["msg"])
    )


def malformed(source: str, wrong: str) -> ClusterError:
    """Return the error for a reply or an archive that cannot be used."""
    return ClusterError(
        f"the cluster at {source} sent data that cannot be used: {wrong}; check that this is the address of a Ray "
        f"dashboard, and that the same version of convnn is installed there."
    )


def is_job_id(text: str) -> bool:
    """Whether a text is a valid job id, which can be part of an address."""
    return _JOB_ID.fullmatch(text) is not None


def command_of(job_id: str, metadata: dict[str, str], source: str) -> Command:
    """Return what a job of this package runs.

    Raises:
        ClusterError: If the metadata is not a valid sweep and command; the message names the job.
    """
    try:
        return Command.model_validate(metadata)
    except ValidationError as error:
        raise malformed(source, f"job {shown(job_id)}, {_first(error)}") from error
