"""A real MLflow server on a free port of this machine, and a proxy in front of it that can inject faults."""

import contextlib
import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.tune_jobs.stores import new_store

START_S = 60
FORWARD_S = 60
_OF_THIS_CONNECTION = ("connection", "content-length", "date", "host", "keep-alive", "server", "transfer-encoding")


UNGIVEN = range(20_000, 32_000)
"""Ports that neither Linux nor Ray assigns automatically."""


def free_port() -> int:
    """Return a port that no process listens on, and that stays free with high probability until the caller uses it."""
    while True:
        port = random.choice(UNGIVEN)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def wait_until_served(address: str, process: "subprocess.Popen[bytes]") -> None:
    """Wait until the server of that process answers."""
    deadline = time.monotonic() + START_S
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=1):  # noqa: S310
            return
        assert process.poll() is None, "the server ended"
        assert time.monotonic() < deadline, "the server does not answer"
        time.sleep(0.1)


class MlflowServer:
    """A server on `port`, with `store` or an SQLite store in `folder`; it can be killed and started again."""

    def __init__(self, folder: Path, port: int, store: str | None = None, workers: int = 1) -> None:
        self.port = port
        self.uri = f"http://127.0.0.1:{port}"
        self._folder = folder
        self._store = store or new_store(folder / "server.db")
        self._workers = workers
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        options = ["--workers", str(self._workers), "--host", "127.0.0.1", "--port", str(self.port)]
        options += ["--backend-store-uri", self._store]
        options += ["--artifacts-destination", str(self._folder / "server-artifacts")]
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *options],
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        wait_until_served(f"{self.uri}/health", self._process)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the server and all its processes, and wait until it has ended."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            self._process.wait(30)
            self._process = None


@contextlib.contextmanager
def mlflow_server(folder: Path, port: int, store: str | None = None, workers: int = 1) -> Iterator[MlflowServer]:
    """Yield a running server."""
    server = MlflowServer(folder, port, store, workers)
    try:
        server.start()
        yield server
    finally:
        server.kill(signal.SIGTERM)


@dataclass(frozen=True)
class _Fault:
    """A fault of the requests whose path contains `only`."""

    only: str = ""
    delay_s: float = 0.0
    status: int | None = None
    silent: bool = False
    drops_answer: bool = False


class FaultyProxy:
    """An HTTP proxy in front of a server; its faults can be changed while it runs.

    `only` limits a fault to requests whose path contains it, `runs/create` for instance.
    """

    def __init__(self, target_port: int) -> None:
        self.calls: list[str] = []
        """Every request so far, as `POST /path`, failed ones included."""

        self._fault = _Fault()
        self.closed = threading.Event()
        self._server = _Server(("127.0.0.1", 0), partial(_Handler, self, target_port))
        self.uri = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def ok(self) -> None:
        """Forward every request."""
        self._fault = _Fault()

    def slow(self, seconds: float, only: str = "") -> None:
        """Forward each request after a delay."""
        self._fault = _Fault(only, delay_s=seconds)

    def answer(self, status: int, only: str = "") -> None:
        """Forward no request; answer with this status."""
        self._fault = _Fault(only, status=status)

    def black_hole(self, only: str = "") -> None:
        """Accept every request and never answer it, even after the mode changes."""
        self._fault = _Fault(only, silent=True)

    def drop_answers(self, only: str = "") -> None:
        """Forward every request, and close the connection instead of giving the server's answer."""
        self._fault = _Fault(only, drops_answer=True)

    def close(self) -> None:
        """Stop listening, and close the requests in a black hole."""
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()

    def fault_of(self, path: str) -> _Fault:
        """Return the fault of a request for `path` now."""
        fault = self._fault
        return fault if fault.only in path else _Fault()


@contextlib.contextmanager
def faulty_proxy(target_port: int) -> Iterator[FaultyProxy]:
    """Yield a proxy in front of the server on `target_port`, which may start later."""
    proxy = FaultyProxy(target_port)
    try:
        yield proxy
    finally:
        proxy.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # requests in a black hole never end

    def handle_error(self, *_: object) -> None:
        """Ignore clients that gave up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections alive, as a real server does

    def __init__(self, proxy: FaultyProxy, target_port: int, *arguments: Any) -> None:
        self._proxy = proxy
        self._target_port = target_port
        super().__init__(*arguments)

    def _handle(self) -> None:
        proxy = self._proxy
        proxy.calls.append(f"{self.command} {self.path.partition('?')[0]}")
        fault = proxy.fault_of(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if fault.silent:
            proxy.closed.wait()
            self.close_connection = True
            return
        proxy.closed.wait(fault.delay_s)
        status, headers, content = (fault.status, [], b"") if fault.status else self._forward(body)
        if fault.drops_answer:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 - the standard library's names

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """Return the server's answer, or 502 if it does not answer."""
        headers = {n: v for n, v in self.headers.items() if n.lower() not in _OF_THIS_CONNECTION}
        server = http.client.HTTPConnection("127.0.0.1", self._target_port, timeout=FORWARD_S)
        try:
            server.request(self.command, self.path, body, headers)
            answer = server.getresponse()
            kept = [(n, v) for n, v in answer.getheaders() if n.lower() not in _OF_THIS_CONNECTION]
            return answer.status, kept, answer.read()
        except (OSError, http.client.HTTPException):
            return 502, [], b""
        finally:
            server.close()

    def log_message(self, *_: object) -> None:
        """Log nothing; `calls` has every request."""
