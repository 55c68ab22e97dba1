"""The base of every test: no network, no telemetry, and a separate cache and home folder.

The processes of pytest-xdist share a folder, which the first one creates.
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
# A background shell ignores SIGINT, `nohup` ignores SIGHUP, and child processes inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
runpy.run_path(str(OFFLINE / "sitecustomize.py"))  # the guard also holds in this process


@pytest.fixture
def expect_offline() -> Iterator[None]:
    """Inside, a refused connection is the subject of the test."""
    os.environ["CONVNN_TEST_EXPECTS_OFFLINE"] = "1"
    yield
    del os.environ["CONVNN_TEST_EXPECTS_OFFLINE"]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run if any process tried to connect beyond this machine, even if a library hid the refusal."""
    if not WORKER and CONNECTIONS.exists():
        print(f"\nThere were connection attempts beyond loopback:\n{CONNECTIONS.read_text()}")
        session.exitstatus = 1
