"""What every test stands on: no network, no telemetry, a cache and a home of its own."""

import atexit
import os
import runpy
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

OFFLINE = Path(__file__).parent / "offline"
SCRATCH = Path(tempfile.mkdtemp(prefix="convnn-tests-"))
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)
CONNECTIONS = SCRATCH / "connections.txt"

os.environ.update(
    CONVNN_CACHE=str(SCRATCH / "cache"),
    CONVNN_STORAGE=str(SCRATCH / "sweeps"),
    CONVNN_TEST_CONNECTIONS=str(CONNECTIONS),
    PYTHONPATH=os.pathsep.join([str(OFFLINE), *filter(None, [os.environ.get("PYTHONPATH")])]),
    OMP_NUM_THREADS="1",
)
for name in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI", "FORCE_COLOR"):
    os.environ.pop(name, None)
signal.signal(
    signal.SIGINT, signal.default_int_handler
)  # a shell in the background ignores it, and children inherit that
runpy.run_path(str(OFFLINE / "sitecustomize.py"))  # the guard also holds in this process


@pytest.fixture
def expect_offline() -> Iterator[None]:
    """Inside, a refused connection is what the test is about."""
    os.environ["CONVNN_TEST_EXPECTS_OFFLINE"] = "1"
    yield
    del os.environ["CONVNN_TEST_EXPECTS_OFFLINE"]


_tried: list[str] = []
"""What test processes beside this one report of `CONNECTIONS`."""


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what one of the processes among which pytest-xdist has divided the tests has seen."""
    _tried.append(getattr(node, "workeroutput", {}).get("connections", ""))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run if any process tried to leave the machine, even where the library swallowed the refusal."""
    if CONNECTIONS.exists():
        _tried.append(CONNECTIONS.read_text())
    report = getattr(session.config, "workeroutput", None)
    if report is not None:
        report["connections"] = "".join(_tried)
    elif any(_tried):
        print(f"\nConnections beyond loopback were tried:\n{''.join(_tried)}")
        session.exitstatus = 1
