"""What a job says, to its end, over connections that fall silent and break."""

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
"""A log stream that is silent for so long is opened anew; once the job has ended, after `CALL_S`."""

VAIN_STREAMS = 5
"""So many streams one after the other that bring nothing new are the last of an ended job: its machine may be gone."""


def follow(jobs: Jobs, job_id: str, silence_s: float | None = None) -> Iterator[str]:
    """What a job says, until the job has ended: the end of a stream is not taken for that.

    A stream that says nothing for a while is opened anew, as its connection may be dead; and so is one that breaks,
    after the job's end too: what it has said may take long to arrive.

    Args:
        jobs: The cluster's jobs.
        job_id: The job.
        silence_s: Give up if it says nothing for so long; never if `None`.

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
                f"job {job_id} at {jobs.address} has said nothing for {silence_s:.0f} s; is the cluster busy, or "
                f"its storage away? Ray's dashboard shows both; then ask again."
            )
        time.sleep(POLL_S)


class _Follower:
    """How far a job's log was followed, over one stream after the other."""

    def __init__(self, jobs: Jobs, job_id: str) -> None:
        self.seen = 0
        """Characters of its log."""

        self.spoke = time.monotonic()
        self._answered = time.monotonic()  # when the cluster last did
        self._jobs = jobs
        self._job_id = job_id

    def pieces(self, stream: "_Stream", quiet_s: float) -> Iterator[str]:
        """What a stream says that was not said before, until it ends, is quiet for long, or the cluster is."""
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
        """Whether the job has; `None` if the cluster does not answer, which it may for `PATIENCE_S`."""
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
    """A job's log as it grows, read in a thread; closed at the end of the `with`."""

    def __init__(self, jobs: Jobs, job_id: str) -> None:
        self.whole = False
        """Whether it has ended by itself, after the job."""

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
        async for chunk in self._jobs.tail(self._job_id):
            self._chunks.put(chunk)
