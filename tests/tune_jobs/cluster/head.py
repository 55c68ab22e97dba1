"""A head with one job: the part of the Jobs API that a follower uses, with a log that stalls and breaks on request."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray.job_submission
from aiohttp import web

from tune_jobs.cluster.follow import follow
from tune_jobs.cluster.jobs import Jobs

JOB = "raysubmit_1"


@dataclass(frozen=True)
class Pause:
    """The log is silent for this long."""

    seconds: float


@dataclass(frozen=True)
class Break:
    """The log's connection is cut, and for this long the API answers with errors."""

    failing_s: float = 0.0


Stream = Sequence[str | Pause | Break]
"""Events on one connection to the log, from the log's beginning; afterwards the connection ends cleanly."""


@dataclass
class Head:
    """The behavior of the head; the last stream serves every later connection, too."""

    streams: Sequence[Stream] = ((),)
    runs_until: int = 0
    """The job ends when its log is opened for the n-th time."""

    jobs: list[dict[str, Any]] = field(default_factory=list)
    """The answer to a request for all jobs."""

    address: str = ""
    opened: int = 0
    """The number of connections to the log so far."""

    uploads: list[bytes] = field(default_factory=list)
    """The content of every upload so far."""

    whole_logs: int = 0
    """How often the complete log was requested."""

    authorizations: set[str | None] = field(default_factory=set)
    """The authorization header of every request."""

    _failing_until: float = 0.0

    @contextlib.contextmanager
    def serving(self) -> Iterator["Head"]:
        """Serve the API on a free port."""
        loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        started = threading.Event()
        thread = threading.Thread(target=loop.run_until_complete, args=(self._serve(started),), daemon=True)
        thread.start()
        assert started.wait(10)
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(self._over.set)
            thread.join(10)
            loop.close()

    async def _serve(self, started: threading.Event) -> None:
        app = web.Application(middlewares=[self._note], client_max_size=100 * 2**20)
        app.router.add_get("/api/version", self._version)
        app.router.add_get("/api/jobs/", self._jobs)
        app.router.add_post("/api/jobs/", self._submit)
        app.router.add_route("*", "/api/packages/gcs/{name}", self._package)
        app.router.add_get(f"/api/jobs/{JOB}", self._job)
        app.router.add_get(f"/api/jobs/{JOB}/logs", self._logs)
        app.router.add_get(f"/api/jobs/{JOB}/logs/tail", self._tail)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        started.set()
        await self._over.wait()
        await runner.cleanup()

    @web.middleware
    async def _note(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.authorizations.add(request.headers.get("Authorization"))
        if time.monotonic() < self._failing_until:
            return web.Response(status=500, text="the head is busy")
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": "4", "ray_version": ray.__version__, "ray_commit": ""})

    async def _jobs(self, _: web.Request) -> web.Response:
        return web.json_response(self.jobs)

    async def _submit(self, _: web.Request) -> web.Response:
        return web.Response(status=400, text="the head accepts no jobs")

    async def _package(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.Response(status=404)  # not uploaded yet
        self.uploads.append(await request.read())
        return web.Response()

    async def _job(self, _: web.Request) -> web.Response:
        status = "RUNNING" if self.opened < self.runs_until else "SUCCEEDED"
        return web.json_response(
            {"type": "SUBMISSION", "submission_id": JOB, "status": status, "entrypoint": "x", "metadata": {}}
        )

    async def _logs(self, _: web.Request) -> web.Response:
        self.whole_logs += 1
        return web.json_response({"logs": ""})

    async def _tail(self, request: web.Request) -> web.StreamResponse:
        steps = self.streams[min(self.opened, len(self.streams) - 1)]
        self.opened += 1
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for step in steps:
            if isinstance(step, str):
                await socket.send_str(step)
            elif isinstance(step, Pause):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._over.wait(), step.seconds)
            else:
                self._failing_until = time.monotonic() + step.failing_s
                assert request.transport is not None
                request.transport.abort()
        return socket


def followed(head: Head, silence_s: float | None = None) -> str:
    """Return everything that a follower yields for the head's job."""
    with head.serving():
        return "".join(follow(Jobs(head.address), JOB, silence_s))
