"""The Ray Jobs API at an address. Every call ends within a deadline, and says what a person can do.

Ray's own client has no time limits, lets RAY_ADDRESS override the address it is given, and sends a token only where
RAY_AUTH_MODE says so.
"""

import asyncio
import base64
import contextlib
import http.client
import json
import logging
import os
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from tune_jobs.errors import ClusterError, UsageError
from tune_jobs.system.redaction import can_be_sent

CALL_S = 30.0
"""How long one call may take, an upload aside."""

SLOWEST_UPLOAD = 50_000
"""Bytes per second below which an upload is given up."""

POLL_S = 2.0
PATIENCE_S = 60.0
"""How long a follower waits for a cluster that does not answer."""

REOPEN_S = 120.0
"""A log stream that is silent for so long is opened anew; once the job has ended, after `CALL_S`."""

VAIN_STREAMS = 5
"""So many streams one after the other that bring nothing new are the last of an ended job: its machine may be gone."""

_STARTING = "No available agent"  # of a head that has just started
ENDED = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
_OVERRIDES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
_FORBIDDEN, _UNAUTHORIZED, _NOT_FOUND = 403, 401, 404
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Job:
    """One job of the cluster."""

    id: str
    status: str
    """PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED."""

    message: str
    exit_code: int | None
    metadata: dict[str, str]
    started_ms: int
    ended_ms: int | None

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.status in ENDED


def is_cluster(address: str | None) -> bool:
    """Whether an address is that of a Ray Jobs API, as in http://head:8265, and not of a Ray to connect to."""
    return address is not None and address.startswith(("http://", "https://"))


class UnknownJobError(ClusterError):
    """The cluster knows no such job."""


class Jobs:
    """The Ray Jobs API of one cluster.

    Raises:
        UsageError: If `address` is none, or a token is asked for and none is there, or none that can be sent.
        ClusterError: From here and from every method, if the cluster does not answer in time, or refuses.
    """

    def __init__(self, address: str) -> None:
        self.address, user = _parted(address)
        """Without a user and a password."""

        self._headers = _authorization(user)
        self.ray_version = self._version()
        self._client = self._within(CALL_S, self._connect)

    def submit(self, entrypoint: str, package: Path, metadata: dict[str, str], environment: dict[str, str]) -> str:
        """Upload `package`, a .zip, and start `entrypoint` in it; the job's id."""
        runtime_env = {"working_dir": str(package), "env_vars": environment}
        seconds = CALL_S + package.stat().st_size / SLOWEST_UPLOAD
        make = partial(self._client.submit_job, entrypoint=entrypoint, runtime_env=runtime_env, metadata=metadata)
        given_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                return str(self._within(seconds, make))
            except ClusterError as error:
                if _STARTING not in str(error):
                    raise
                if time.monotonic() > given_up:
                    raise ClusterError(
                        f"the cluster at {self.address} answers, but takes no jobs: its head has no dashboard agent; "
                        f"where its port 52365 is taken, start Ray with --dashboard-agent-listen-port."
                    ) from error
            time.sleep(POLL_S)

    def job(self, job_id: str) -> Job:
        """How a job stands."""
        return _job(self._within(CALL_S, self._client.get_job_info, job_id))

    def jobs(self) -> list[Job]:
        """All that were submitted, the newest first."""
        found = self._within(CALL_S, self._client.list_jobs)
        made = [_job(details) for details in found if details.submission_id]
        return sorted(made, key=lambda job: job.started_ms, reverse=True)

    def log(self, job_id: str) -> str:
        """What a job has said so far, in full."""
        return str(self._within(2 * CALL_S, self._client.get_job_logs, job_id))

    def stop(self, job_id: str) -> None:
        """Ask a job to stop; it does so in its own time."""
        self._within(CALL_S, self._client.stop_job, job_id)

    def forget(self, job_id: str) -> None:
        """Take an ended job off the cluster's list, if it can be."""
        with contextlib.suppress(ClusterError):
            self._within(CALL_S, self._client.delete_job, job_id)

    def follow(self, job_id: str, silence_s: float | None = None) -> Iterator[str]:
        """What a job says, until the job has ended: the end of a stream is not taken for that.

        A stream that says nothing for a while is opened anew, as its connection may be dead; and so is one that breaks,
        after the job's end too: what it has said may take long to arrive.

        Args:
            job_id: The job.
            silence_s: Give up if it says nothing for so long; never if `None`.

        Raises:
            ClusterError: If the cluster does not answer for `PATIENCE_S`, no longer knows the job, or at `silence_s`.
        """
        course, vain = _Course(), 0
        while True:
            seen = course.seen
            with _Stream(self._client, job_id) as stream:
                yield from self._pieces(job_id, stream, course, min(REOPEN_S, silence_s or REOPEN_S))
            if self._has_ended(job_id, course):
                vain = 0 if course.seen > seen else vain + 1
                if stream.whole or vain == VAIN_STREAMS:
                    return
            if silence_s is not None and time.monotonic() - course.spoke > silence_s:
                raise ClusterError(
                    f"job {job_id} at {self.address} has said nothing for {silence_s:.0f} s; is the cluster busy, or "
                    f"its storage away? Ray's dashboard shows both; then ask again."
                )
            time.sleep(POLL_S)

    def _pieces(self, job_id: str, stream: "_Stream", course: "_Course", quiet_s: float) -> Iterator[str]:
        """What a stream says that was not said before, until it ends, is quiet for long, or the cluster is."""
        passed, heard = 0, time.monotonic()
        while (chunk := stream.next()) is not None:
            if not chunk:
                ended = self._has_ended(job_id, course)
                bearable = 0.0 if ended is None else CALL_S if ended else quiet_s
                if stream.idle and time.monotonic() - heard > bearable:
                    return
                continue
            passed += len(chunk)
            heard = course.answered = time.monotonic()
            if passed > course.seen:
                yield chunk[len(chunk) - (passed - course.seen) :]
                course.seen, course.spoke = passed, time.monotonic()

    def _has_ended(self, job_id: str, course: "_Course") -> bool | None:
        """Whether a job has; `None` if the cluster does not answer, which it may for `PATIENCE_S`."""
        try:
            ended = self.job(job_id).ended
        except UnknownJobError:
            raise
        except ClusterError:
            if time.monotonic() - course.answered > PATIENCE_S:
                raise
            return None
        course.answered = time.monotonic()
        return ended

    def wait(self, job_id: str, seconds: float, *, every_s: float = 0.25) -> Job:
        """The job when it has ended.

        Raises:
            ClusterError: If it has not within `seconds`.
        """
        deadline = time.monotonic() + seconds
        while not (job := self.job(job_id)).ended:
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"job {job_id} at {self.address} has not ended within {seconds:g} s; it goes on there."
                )
            time.sleep(every_s)
        return job

    def _version(self) -> str:
        """The cluster's version of Ray; a first call, by which a wrong address, and a wrong token, are found out."""
        request = urllib.request.Request(f"{self.address}/api/version", headers=self._headers)  # noqa: S310 - http(s)
        try:
            with urllib.request.urlopen(request, timeout=CALL_S) as answer:  # noqa: S310
                return str(json.load(answer)["ray_version"])
        except urllib.error.HTTPError as error:
            raise ClusterError(self._refused(error.code)) from error
        except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException) as error:
            raise ClusterError(
                f"no Ray cluster answers at {self.address}: {_why(error)}; is it up, and is that the address of its "
                f"dashboard (port 8265, with --dashboard-host=0.0.0.0 where it is on another machine)?"
            ) from error

    def _refused(self, code: int) -> str:
        if code == _UNAUTHORIZED:
            return (
                f"the cluster at {self.address} asks for a token, and none is set; set RAY_AUTH_TOKEN_PATH to a file "
                f"that holds it (the cluster's own: `ray get-auth-token` there), or RAY_AUTH_TOKEN."
            )
        if code == _FORBIDDEN:
            return (
                f"the cluster at {self.address} refuses the token from {_token_source()}; take the cluster's own "
                f"(`ray get-auth-token` there)."
            )
        return f"{self.address} answers with HTTP {code} where Ray's dashboard would not; is that its address?"

    def _connect(self) -> Any:  # noqa: ANN401 - Ray's client
        from ray.job_submission import JobSubmissionClient

        for name in ("dashboard_sdk", "job.sdk"):
            logging.getLogger(f"ray.dashboard.modules.{name}").setLevel(logging.ERROR)
        held = {name: os.environ.pop(name) for name in _OVERRIDES if name in os.environ}
        try:
            return JobSubmissionClient(self.address, headers=dict(self._headers))
        finally:
            os.environ.update(held)

    def _within(self, seconds: float, call: Callable[..., Answer], *args: Any, **named: Any) -> Answer:  # noqa: ANN401
        """The answer of a call, made in a thread that is left behind if it hangs."""
        answers: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue()

        def make() -> None:
            try:
                answers.put((call(*args, **named), None))
            except BaseException as error:  # noqa: BLE001 - raised below
                answers.put((None, error))

        threading.Thread(target=make, daemon=True).start()
        try:
            answer, error = answers.get(timeout=seconds)
        except queue.Empty:
            raise ClusterError(
                f"the cluster at {self.address} did not answer within {seconds:.0f} s; is its head overloaded or half "
                f"dead?"
            ) from None
        if error is None:
            return answer  # type: ignore[no-any-return]
        if f"status code {_NOT_FOUND}" in str(error):
            raise UnknownJobError(
                f"the cluster at {self.address} knows no such job: it forgets them when it restarts, and they end with "
                f"it. Submitted again, a sweep goes on."
            ) from error
        if isinstance(error, Exception):
            raise ClusterError(self._reason(error)) from error
        raise error

    def _reason(self, error: Exception) -> str:
        text = str(error)
        for said, code in (("Authentication required", _UNAUTHORIZED), ("Authentication failed", _FORBIDDEN)):
            if text.startswith(said):
                return self._refused(code)
        lines = [line for line in text.splitlines() if line.strip()] or [type(error).__name__]
        return f"the cluster at {self.address} fails: {lines[-1].strip() if 'Traceback' in text else lines[0]}"


@dataclass
class _Course:
    """How far a job was followed."""

    seen: int = 0
    """Characters of its log."""

    spoke: float = field(default_factory=time.monotonic)
    answered: float = field(default_factory=time.monotonic)
    """When the cluster last did."""


class _Stream:
    """A job's log as it grows, read in a thread; closed at the end of the `with`."""

    def __init__(self, client: Any, job_id: str) -> None:  # noqa: ANN401 - Ray's client
        self.whole = False
        """Whether it has ended by itself, after the job."""

        self._client = client
        self._job_id = job_id
        self._chunks: queue.Queue[str | None] = queue.Queue()
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._task = self._loop.create_task(self._read())
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            self._loop.call_soon_threadsafe(self._cancel)

    def next(self) -> str | None:
        """The next piece; empty if there is none for a while, `None` at the stream's end."""
        try:
            return self._chunks.get(timeout=POLL_S)
        except queue.Empty:
            return ""

    @property
    def idle(self) -> bool:
        """Whether no piece waits to be taken."""
        return self._chunks.empty()

    def _cancel(self) -> None:
        assert self._task is not None
        self._task.cancel()

    def _run(self) -> None:
        assert self._task is not None
        with contextlib.suppress(Exception, asyncio.CancelledError):  # the follower asks how the job stands
            self._loop.run_until_complete(self._task)
            self.whole = True
        self._loop.close()
        self._chunks.put(None)

    async def _read(self) -> None:
        async for chunk in self._client.tail_job_logs(self._job_id):
            self._chunks.put(chunk)


def _job(details: Any) -> Job:  # noqa: ANN401 - Ray's JobDetails
    status = getattr(details.status, "value", details.status)
    return Job(
        id=details.submission_id,
        status=str(status),
        message=details.message or "",
        exit_code=details.driver_exit_code,
        metadata=dict(details.metadata or {}),
        started_ms=details.start_time or 0,
        ended_ms=details.end_time,
    )


def _why(error: Exception) -> str:
    """Why there was no answer. An error about a value is not told, as that may be a token."""
    reason = getattr(error, "reason", error)
    return str(reason) if isinstance(reason, OSError) else "what answers there is something else"


def _parted(address: str) -> tuple[str, str]:
    """The address of a dashboard without the user and the password that may stand in it; and these.

    Raises:
        UsageError: If it is no such address.
    """
    try:
        parts = urlsplit(address)
        known = is_cluster(address) and bool(parts.hostname) and parts.port != 0
        (parts.hostname or "").encode("idna")
    except ValueError:
        known = False
    if not known:
        shown = address.rpartition("@")[2]
        raise UsageError(f"--address must be that of the cluster's dashboard, as in http://head:8265, got {shown!r}.")
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=host)).rstrip("/"), user


def _authorization(user: str) -> dict[str, str]:
    """The header that says who asks: the user in the address, with the password, else a token."""
    if user:
        return {"Authorization": f"Basic {base64.b64encode(unquote(user).encode()).decode()}"}
    token = _token()
    return {"Authorization": f"Bearer {token}"} if token else {}


def _token() -> str | None:
    """The token to send, from where Ray would take it; `None` without one.

    Raises:
        UsageError: If its file cannot be read, or a token is asked for and none is there, or none that can be sent.
    """
    if os.environ.get("RAY_AUTH_MODE", "token") != "token":
        return None
    if token := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return _sendable(token, "RAY_AUTH_TOKEN")
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named).expanduser() if named else _default_token()
    try:
        token = path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        if named:
            raise UsageError(f"RAY_AUTH_TOKEN_PATH names {path}, which cannot be read: {error.strerror}.") from error
        token = ""
    if not token and (named or "RAY_AUTH_MODE" in os.environ):
        raise UsageError(
            f"RAY_AUTH_MODE=token asks for a token, and there is none in RAY_AUTH_TOKEN or {path}; take the cluster's "
            f"own (`ray get-auth-token` there)."
        )
    # Without RAY_AUTH_MODE the token at home may be another cluster's; Ray's client would not send it, nor do we.
    return _sendable(token, str(path)) if named or "RAY_AUTH_MODE" in os.environ else None


def _sendable(token: str, source: str) -> str:
    if not can_be_sent(token):
        raise UsageError(
            f"what is in {source} is no token: it holds a blank, a line break or a letter beyond ASCII; take the "
            f"cluster's own (`ray get-auth-token` there)."
        )
    return token


def _token_source() -> str:
    if os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return "RAY_AUTH_TOKEN"
    return str(os.environ.get("RAY_AUTH_TOKEN_PATH") or _default_token())


def _default_token() -> Path:
    return Path("~/.ray/auth_token").expanduser()
