"""What every test stands on: no network, no telemetry, a cache and a home of its own.

The processes among which pytest-xdist divides the tests share a folder, which the first one makes.
"""

import atexit
import os
import runpy
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

OFFLINE = Path(__file__).parent / "offline"
WORKER = os.environ.get("PYTEST_XDIST_WORKER")
SCRATCH = Path(os.environ["CONVNN_TEST_SCRATCH"] if WORKER else tempfile.mkdtemp(prefix="convnn-tests-"))
if not WORKER:
    atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)
CONNECTIONS = SCRATCH / "connections.txt"

os.environ.update(
    CONVNN_CACHE=str(SCRATCH / "cache"),
    CONVNN_STORAGE=str(SCRATCH / "sweeps" / (WORKER or "alone")),
    CONVNN_TEST_CONNECTIONS=str(CONNECTIONS),
    CONVNN_TEST_SCRATCH=str(SCRATCH),
    PYTHONPATH=os.pathsep.join([str(OFFLINE), *filter(None, [os.environ.get("PYTHONPATH")])]),
    OMP_NUM_THREADS="1",
)
for name in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI", "FORCE_COLOR"):
    os.environ.pop(name, None)
# A shell in the background ignores the one and `nohup` the other, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
runpy.run_path(str(OFFLINE / "sitecustomize.py"))  # the guard also holds in this process


@pytest.fixture
def expect_offline() -> Iterator[None]:
    """Inside, a refused connection is what the test is about."""
    os.environ["CONVNN_TEST_EXPECTS_OFFLINE"] = "1"
    yield
    del os.environ["CONVNN_TEST_EXPECTS_OFFLINE"]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run if any process tried to leave the machine, even where the library swallowed the refusal."""
    if not WORKER and CONNECTIONS.exists():
        print(f"\nConnections beyond loopback were tried:\n{CONNECTIONS.read_text()}")
        session.exitstatus = 1
