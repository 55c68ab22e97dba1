"""The Ray Jobs API at an address. Every call ends within a deadline, and says what a person can do.

Ray's own client has no time limits, lets RAY_ADDRESS override the address it is given, and sends a token only where
RAY_AUTH_MODE says so.
"""

import asyncio
import contextlib
import json
import logging
import os
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tune_jobs.errors import ClusterError, UsageError

CALL_S = 30.0
"""How long one call may take, an upload aside."""

SLOWEST_UPLOAD = 50_000
"""Bytes per second below which an upload is given up."""

POLL_S = 2.0
PATIENCE_S = 60.0
"""How long a follower waits for a cluster that does not answer."""

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


class Jobs:
    """The Ray Jobs API of one cluster.

    Raises:
        UsageError: If `address` is none, or a token is asked for and none is there.
        ClusterError: From here and from every method, if the cluster does not answer in time, or refuses.
    """

    def __init__(self, address: str) -> None:
        if not is_cluster(address):
            raise UsageError(
                f"--address must be that of the cluster's dashboard, as in http://head:8265, got {address!r}."
            )
        self.address = address.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if (token := _token()) else {}
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
            threading.Event().wait(POLL_S)

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

    def follow(self, job_id: str) -> Iterator[str]:
        """What a job says, until the job has ended: the end of a stream is not taken for that."""
        seen, silent_s = 0, 0.0
        while True:
            chunks: queue.Queue[str | None] = queue.Queue()
            threading.Thread(target=self._stream, args=(job_id, chunks), daemon=True).start()
            passed, more = 0, True
            while more:
                chunk = _next(chunks)
                passed += len(chunk or "")
                if chunk and passed > seen:
                    yield chunk[len(chunk) - (passed - seen) :]
                    seen, silent_s = passed, 0.0
                more = chunk is not None and (bool(chunk) or not self._has_ended(job_id))
            try:
                if self.job(job_id).ended:
                    yield self._rest(job_id, seen)
                    return
                silent_s += POLL_S
            except ClusterError:
                silent_s += CALL_S
                if silent_s >= PATIENCE_S:
                    raise
            threading.Event().wait(POLL_S)

    def wait(self, job_id: str, seconds: float, *, every_s: float = 0.25) -> Job:
        """The job when it has ended.

        Raises:
            ClusterError: If it has not within `seconds`.
        """
        waited = threading.Event()
        left = seconds
        while not (job := self.job(job_id)).ended:
            if left <= 0:
                raise ClusterError(
                    f"job {job_id} at {self.address} has not ended within {seconds:g} s; it goes on there."
                )
            waited.wait(every_s)
            left -= every_s
        return job

    def _has_ended(self, job_id: str) -> bool:
        try:
            return self.job(job_id).ended
        except ClusterError:
            return True  # of this stream, at least

    def _rest(self, job_id: str, seen: int) -> str:
        try:
            return self.log(job_id)[seen:]
        except ClusterError:  # the machine that held it may be gone
            return ""

    def _stream(self, job_id: str, chunks: "queue.Queue[str | None]") -> None:
        async def read() -> None:
            async for chunk in self._client.tail_job_logs(job_id):
                chunks.put(chunk)

        with contextlib.suppress(Exception):  # the follower asks how the job stands, whatever ended the stream
            asyncio.run(read())
        chunks.put(None)

    def _version(self) -> str:
        """The cluster's version of Ray; a first call, by which a wrong address, and a wrong token, are found out."""
        request = urllib.request.Request(f"{self.address}/api/version", headers=self._headers)  # noqa: S310 - http(s)
        try:
            with urllib.request.urlopen(request, timeout=CALL_S) as answer:  # noqa: S310
                return str(json.load(answer)["ray_version"])
        except urllib.error.HTTPError as error:
            raise ClusterError(self._refused(error.code)) from error
        except (OSError, ValueError, KeyError) as error:
            reason = getattr(error, "reason", error)
            raise ClusterError(
                f"no Ray cluster answers at {self.address}: {reason}; is it up, and is that the address of its "
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
        if isinstance(error, Exception):
            raise ClusterError(self._reason(error)) from error
        raise error

    def _reason(self, error: Exception) -> str:
        text = str(error)
        for said, code in (("Authentication required", _UNAUTHORIZED), ("Authentication failed", _FORBIDDEN)):
            if text.startswith(said):
                return self._refused(code)
        if f"status code {_NOT_FOUND}" in text:
            return f"the cluster at {self.address} knows no such job (it forgets its jobs when it restarts)."
        lines = [line for line in text.splitlines() if line.strip()] or [type(error).__name__]
        return f"the cluster at {self.address} fails: {lines[-1].strip() if 'Traceback' in text else lines[0]}"


def _next(chunks: "queue.Queue[str | None]") -> str | None:
    """The next chunk; empty if there is none for a while, `None` at the stream's end."""
    try:
        return chunks.get(timeout=POLL_S)
    except queue.Empty:
        return ""


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


def _token() -> str | None:
    """The token to send, from where Ray would take it; `None` without one.

    Raises:
        UsageError: If its file cannot be read, or a token is asked for and none is there.
    """
    if os.environ.get("RAY_AUTH_MODE", "token") != "token":
        return None
    if token := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return token
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named).expanduser() if named else _default_token()
    try:
        token = path.read_text(encoding="utf-8").strip()
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
    return token if named or "RAY_AUTH_MODE" in os.environ else None


def _token_source() -> str:
    if os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return "RAY_AUTH_TOKEN"
    return str(os.environ.get("RAY_AUTH_TOKEN_PATH") or _default_token())


def _default_token() -> Path:
    return Path("~/.ray/auth_token").expanduser()
