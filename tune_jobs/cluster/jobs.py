"""The Ray Jobs API at an address. Every call has a deadline, and its errors say what the user can do.

Ray's own client has no time limits, lets RAY_ADDRESS override the given address, and sends a token only if
RAY_AUTH_MODE says so.
"""

import contextlib
import http.client
import logging
import os
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tune_jobs.cluster.auth import FORBIDDEN, UNAUTHORIZED, authorization, refusal, split_user
from tune_jobs.cluster.gate import (
    LARGEST_REPLY,
    JobReply,
    LogReply,
    VersionReply,
    is_job_id,
    malformed,
    plain_line,
    read_reply,
    shown,
)
from tune_jobs.errors import ClusterError

CALL_S = 30.0
"""Time limit of a call, except an upload."""

SLOWEST_UPLOAD = 50_000
"""An upload is given up if it is slower than this, in bytes per second."""

POLL_S = 2.0
PATIENCE_S = 60.0
"""How long to wait for a cluster that does not answer, or does not accept jobs yet."""

_STARTING = "No available agent"  # the reply of a head that has just started
ENDED = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
_OVERRIDES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
_NOT_FOUND = 404
_ERROR_BYTES = 100_000
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
        """Whether the job has ended."""
        return self.status in ENDED


class UnknownJobError(ClusterError):
    """The cluster does not know the job."""


class Jobs:
    """The Ray Jobs API of one cluster.

    Raises:
        UsageError: If `address` is invalid, a required token is missing, or the token cannot be sent.
        ClusterError: If the cluster does not answer in time, or refuses; also from every method.
    """

    def __init__(self, address: str) -> None:
        self.address, user = split_user(address)
        """The address, without user and password."""

        self._headers = authorization(user)
        self.ray_version = self._version()
        self._client = self._within(CALL_S, self._connect)

    def submit(self, entrypoint: str, package: Path, metadata: dict[str, str], environment: dict[str, str]) -> str:
        """Upload `package`, a .zip file, and start `entrypoint` in it; return the job's id."""
        runtime_env = {"working_dir": str(package), "env_vars": environment}
        seconds = CALL_S + package.stat().st_size / SLOWEST_UPLOAD
        make = partial(self._client.submit_job, entrypoint=entrypoint, runtime_env=runtime_env, metadata=metadata)
        given_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                made = self._within(seconds, make)
            except ClusterError as error:
                if _STARTING not in str(error):
                    raise
                if time.monotonic() > given_up:
                    raise ClusterError(
                        f"the cluster at {self.address} answers, but accepts no jobs: its head has no dashboard agent; "
                        f"if its port 52365 is taken, start Ray with --dashboard-agent-listen-port."
                    ) from error
                time.sleep(POLL_S)
                continue
            if not isinstance(made, str) or not is_job_id(made):
                raise malformed(self.address, f"a job with the id {shown(made)}")
            return made

    def job(self, job_id: str) -> Job:
        """Return a job's status."""
        found = read_reply(JobReply, self._get(CALL_S, f"/api/jobs/{job_id}"), self.address)
        return _job(job_id, found)

    def jobs(self) -> list[Job]:
        """Return all submitted jobs, the newest first."""
        found = read_reply(list[JobReply], self._get(CALL_S, "/api/jobs/"), self.address)
        made = [
            _job(each.submission_id, each) for each in found if each.submission_id and is_job_id(each.submission_id)
        ]
        return sorted(made, key=lambda job: job.started_ms, reverse=True)

    def log(self, job_id: str) -> str:
        """Return a job's complete log so far."""
        return read_reply(LogReply, self._get(2 * CALL_S, f"/api/jobs/{job_id}/logs"), self.address).logs

    def tail(self, job_id: str) -> AsyncIterator[str]:
        """Return a job's log from its beginning, as it grows; an async stream without time limits."""
        stream: AsyncIterator[str] = self._client.tail_job_logs(job_id)
        return stream

    def stop(self, job_id: str) -> None:
        """Ask a job to stop; it may take some time."""
        self._within(CALL_S, self._client.stop_job, job_id)

    def forget(self, job_id: str) -> None:
        """Remove an ended job from the cluster's list, if possible."""
        with contextlib.suppress(ClusterError):
            self._within(CALL_S, self._client.delete_job, job_id)

    def wait(self, job_id: str, seconds: float, *, every_s: float = 0.25) -> Job:
        """Wait for the job to end, and return it.

        Raises:
            ClusterError: If the job has not ended within `seconds`.
        """
        deadline = time.monotonic() + seconds
        while not (job := self.job(job_id)).ended:
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"job {job_id} at {self.address} has not ended within {seconds:g} s; it keeps running there."
                )
            time.sleep(every_s)
        return job

    def _version(self) -> str:
        """Return the cluster's version of Ray. This first call reveals a wrong address or token."""
        request = urllib.request.Request(f"{self.address}/api/version", headers=self._headers)  # noqa: S310 - http(s)
        try:
            with urllib.request.urlopen(request, timeout=CALL_S) as answer:  # noqa: S310
                content = answer.read(LARGEST_REPLY + 1)
        except urllib.error.HTTPError as error:
            with error:
                raise ClusterError(refusal(self.address, error.code)) from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ClusterError(
                f"no Ray cluster answers at {self.address}: {_why(error)}; check that it is running, and that this is "
                f"the address of its dashboard (port 8265; for access from other machines Ray needs "
                f"--dashboard-host=0.0.0.0)."
            ) from error
        return read_reply(VersionReply, content, self.address).ray_version

    def _get(self, seconds: float, path: str) -> bytes:
        """Return the API's answer, up to the size limit, which Ray's own client lacks."""
        request = urllib.request.Request(f"{self.address}{path}", headers=self._headers)  # noqa: S310 - http(s)

        def get() -> bytes:
            try:
                with urllib.request.urlopen(request, timeout=CALL_S) as answer:  # noqa: S310
                    found: bytes = answer.read(LARGEST_REPLY + 1)
                    return found
            except urllib.error.HTTPError as error:
                with error:
                    if error.code in (UNAUTHORIZED, FORBIDDEN):
                        raise ClusterError(refusal(self.address, error.code)) from error
                    words = error.read(_ERROR_BYTES).decode(errors="replace")
                raise RuntimeError(f"status code {error.code}: {words}") from error

        return self._within(seconds, get)

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
        """Return the result of a call in a thread, which is abandoned if it hangs."""
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
                f"the cluster at {self.address} did not answer within {seconds:.0f} s; check whether its head is "
                f"overloaded or failing."
            ) from None
        if error is None:
            return answer  # type: ignore[no-any-return]
        if f"status code {_NOT_FOUND}" in str(error):
            raise UnknownJobError(
                f"the cluster at {self.address} does not know this job: a cluster that restarts ends its jobs and "
                f"forgets them. To resume the sweep, submit it again."
            ) from error
        if isinstance(error, ClusterError):
            raise error
        if isinstance(error, Exception):
            raise ClusterError(self._reason(error)) from error
        raise error

    def _reason(self, error: Exception) -> str:
        text = str(error)
        for said, code in (("Authentication required", UNAUTHORIZED), ("Authentication failed", FORBIDDEN)):
            if text.startswith(said):
                return refusal(self.address, code)
        lines = [line for line in text.splitlines() if line.strip()] or [type(error).__name__]
        said = lines[-1].strip() if "Traceback" in text else lines[0]
        return f"the cluster at {self.address} failed: {plain_line(said)}"


def _job(job_id: str, found: JobReply) -> Job:
    return Job(
        id=job_id,
        status=found.status,
        message=found.message or "",
        exit_code=found.driver_exit_code,
        metadata=found.metadata or {},
        started_ms=found.start_time or 0,
        ended_ms=found.end_time,
    )


def _why(error: Exception) -> str:
    """Return why there was no answer. An error about a value is not shown, since the value may be a token."""
    reason = getattr(error, "reason", error)
    return str(reason) if isinstance(reason, OSError) else "another program answers there"
