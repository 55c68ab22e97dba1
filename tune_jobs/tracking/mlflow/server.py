"""Runs MLflow's own server on a local store, while the user views it."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from tune_jobs.errors import TrackerError
from tune_jobs.system.redaction import without_password
from tune_jobs.tracking.mlflow.store import set_environment
from tune_jobs.tracking.mlflow.views import LOCAL_SERVER

START_S = 120.0
"""How long a server may take to answer; importing MLflow takes a while on a slow disk."""

SAY_EVERY_S = 2.0
STOP_S = 5.0
_HOST = "127.0.0.1"
_USUAL_PORT = int(LOCAL_SERVER.rpartition(":")[2])


def _free_port() -> int:
    """Return MLflow's usual port, or a free one if it is taken."""
    for port in (_USUAL_PORT, 0):
        with contextlib.suppress(OSError), socket.create_server((_HOST, port)) as free:
            return int(free.getsockname()[1])
    raise TrackerError(f"no port is free on {_HOST}")


class Server:
    """A starting `mlflow server`."""

    def __init__(self, uri: str, port: int, log: IO[bytes], folder: Path) -> None:
        self.url = f"http://{_HOST}:{port}"
        self._port = port
        self._log = log
        set_environment()
        command = [sys.executable, "-m", "mlflow", "server", "--host", _HOST, "--port", str(port), "--workers", "1"]
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [*command, "--backend-store-uri", uri, "--artifacts-destination", folder.as_uri()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            start_new_session=True,  # Ctrl-C is handled by this process
        )

    def wait_until_it_answers(self, waiting: Callable[[float], None] = lambda _: None) -> None:
        """Wait until the server answers; every two seconds, `waiting` is called with the elapsed seconds.

        Raises:
            TrackerError: If the server ends instead, with its last lines of output.
        """
        begun = told = time.monotonic()
        while (now := time.monotonic()) < begun + START_S:
            if self._answers():
                return
            if self._process.poll() is not None:
                raise TrackerError(f"mlflow server has ended: {self._last_words()}")
            if now > told + SAY_EVERY_S:
                told = now
                waiting(now - begun)
            time.sleep(0.1)
        raise TrackerError(f"mlflow server does not answer at {self.url} after {START_S:g} s: {self._last_words()}")

    def wait(self) -> None:
        """Wait until the server ends, which it does not do by itself.

        Raises:
            TrackerError: When it has ended.
        """
        self._process.wait()
        raise TrackerError(f"mlflow server has ended: {self._last_words()}")

    def close(self) -> None:
        """End the server and all its processes."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):  # a second Ctrl-C kills it
                self._process.wait(STOP_S)
                return

    def _answers(self) -> bool:
        asked = http.client.HTTPConnection(_HOST, self._port, timeout=1)  # ignores proxies
        with contextlib.closing(asked), contextlib.suppress(OSError, http.client.HTTPException):
            asked.request("GET", "/health")
            return asked.getresponse().status == http.client.OK
        return False

    def _last_words(self) -> str:
        self._log.flush()
        self._log.seek(0)
        lines = [line for line in self._log.read().decode(errors="replace").splitlines() if line.strip()]
        return without_password(" / ".join(lines[-3:])) or "no output"


@contextlib.contextmanager
def serving(uri: str, port: int | None = None) -> Iterator[Server]:
    """Run a server on a store; it ends with the block.

    Raises:
        TrackerError: If the port is taken.
    """
    if port is not None:
        try:
            socket.create_server((_HOST, port)).close()
        except OSError as error:
            raise TrackerError(
                f"port {port} of {_HOST} cannot be used: {os.strerror(error.errno or 0)}; choose another with --port"
            ) from error
    with tempfile.TemporaryDirectory(prefix="convnn-ui-") as folder, tempfile.TemporaryFile() as log:
        server = Server(uri, port or _free_port(), log, Path(folder))
        try:
            yield server
        finally:
            server.close()
