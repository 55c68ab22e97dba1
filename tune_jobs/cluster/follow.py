"""Follows a job's log to its end, over connections that fall silent or break."""

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Iterator
from typing import Self

from tune_jobs.cluster.jobs import CALL_S, PATIENCE_S, POLL_S, Jobs, UnknownJobError
from tune_jobs.errors import ClusterError

REOPEN_S = 120.0
"""A log stream that is silent for this long is opened again; after the job's end, `CALL_S` applies."""

VAIN_STREAMS = 5
"""After the job's end, give up after this many streams in a row with nothing new: its machine may be gone."""


def follow(jobs: Jobs, job_id: str, silence_s: float | None = None) -> Iterator[str]:
    """Yield a job's log until the job has ended; the end of a stream is not taken for the end of the job.

    A stream that is silent for a while is opened again, since its connection may be dead. So is one that breaks, even
    after the job's end: the last lines may take long to arrive.

    Args:
        jobs: The cluster's jobs.
        job_id: The job.
        silence_s: Give up if the log is silent for this long; never if `None`.

    Raises:
        ClusterError: If the cluster does not answer for `PATIENCE_S`, no longer knows the job, or at `silence_s`.
    """
    follower, vain = _Follower(jobs, job_id), 0
    while True:
        seen = follower.seen
        with _Stream(jobs, job_id) as stream:
            yield from follower.pieces(stream, min(REOPEN_S, silence_s or REOPEN_S))
        if follower.has_ended():
            vain = 0 if follower.seen > seen else vain + 1
            if stream.whole or vain == VAIN_STREAMS:
                return
        if silence_s is not None and time.monotonic() - follower.spoke > silence_s:
            raise ClusterError(
                f"job {job_id} at {jobs.address} has said nothing for {silence_s:.0f} s; check in Ray's dashboard "
                f"whether the cluster is busy or its storage unreachable, then try again."
            )
        time.sleep(POLL_S)


class _Follower:
    """How far a job's log was followed, over several streams."""

    def __init__(self, jobs: Jobs, job_id: str) -> None:
        self.seen = 0
        """Characters of the log that were read."""

        self.spoke = time.monotonic()
        self._answered = time.monotonic()  # when the cluster last answered
        self._jobs = jobs
        self._job_id = job_id

    def pieces(self, stream: "_Stream", quiet_s: float) -> Iterator[str]:
        """Yield the new text of a stream until it ends, or it or the cluster is silent for too long."""
        passed, heard = 0, time.monotonic()
        while (chunk := stream.next()) is not None:
            if not chunk:
                ended = self.has_ended()
                bearable = 0.0 if ended is None else CALL_S if ended else quiet_s
                if stream.idle and time.monotonic() - heard > bearable:
                    return
                continue
            passed += len(chunk)
            heard = self._answered = time.monotonic()
            if passed > self.seen:
                yield chunk[len(chunk) - (passed - self.seen) :]
                self.seen, self.spoke = passed, time.monotonic()

    def has_ended(self) -> bool | None:
        """Whether the job has ended; `None` if the cluster does not answer, which is tolerated for `PATIENCE_S`."""
        try:
            ended = self._jobs.job(self._job_id).ended
        except UnknownJobError:
            raise
        except ClusterError:
            if time.monotonic() - self._answered > PATIENCE_S:
                raise
            return None
        self._answered = time.monotonic()
        return ended


class _Stream:
    """A job's growing log, read in a thread; closed at the end of the `with`."""

    def __init__(self, jobs: Jobs, job_id: str) -> None:
        self.whole = False
        """Whether the stream ended by itself, after the job."""

        self._jobs = jobs
        self._job_id = job_id
        self._chunks: queue.Queue[str | None] = queue.Queue()
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._task = self._loop.create_task(self._read())
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may already be closed
            self._loop.call_soon_threadsafe(self._cancel)

    def next(self) -> str | None:
        """Return the next piece; empty if none arrives for a while, `None` at the stream's end."""
        try:
            return self._chunks.get(timeout=POLL_S)
        except queue.Empty:
            return ""

    @property
    def idle(self) -> bool:
        """Whether the queue of pieces is empty."""
        return self._chunks.empty()

    def _cancel(self) -> None:
        assert self._task is not None
        self._task.cancel()

    def _run(self) -> None:
        assert self._task is not None
        with contextlib.suppress(Exception, asyncio.CancelledError):  # the follower asks for the job's status
            self._loop.run_until_complete(self._task)
            self.whole = True
        self._loop.close()
        self._chunks.put(None)

    async def _read(self) -> None:
        async for chunk in self._jobs.tail(self._job_id):
            self._chunks.put(chunk)
