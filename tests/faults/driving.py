"""Drivers and their workers as processes: started as a user starts them, signalled, awaited."""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.tune_jobs.program import CONVNN

END_S = 300.0
"""An undisturbed driver ends within this time, even on a busy machine."""

WAIT_S = 120.0
"""Time limit for everything that a fault waits for."""

GONE_S = 30.0
"""The processes of an ended driver are gone after this time."""

OFFLINE = Path(__file__).parents[1] / "offline"
AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
MARK = "CONVNN_STORAGE"
"""Every process of a sweep inherits this variable; it names a folder of that sweep."""


Found = TypeVar("Found")


class TookTooLong(AssertionError):  # noqa: N818 - it is not an error by itself
    """Something was late. That alone is not a defect on a busy machine, so it is repeated once, alone."""


def expect(condition: object, what: str) -> None:
    """Raise if the program does not behave as it should; the message says what was seen."""
    if not condition:
        raise AssertionError(what)


def expect_in_time(condition: object, what: str) -> None:
    """Raise if the program is late; the message says what was seen."""
    if not condition:
        raise TookTooLong(what)


def wait_for(
    condition: Callable[[], Found | None], what: str, timeout_s: float = WAIT_S, every_s: float = 0.02
) -> Found:
    """Poll until the condition returns a true value, and return it."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        expect_in_time(time.monotonic() < deadline, f"after {timeout_s:g} s still not: {what}")
        time.sleep(every_s)
    return found


def environment(storage: Path, scratch: Path, **more: str) -> dict[str, str]:
    """Return the environment of a child process: a separate storage, and no network beyond loopback."""
    kept = {n: v for n, v in os.environ.items() if n not in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI", "FORCE_COLOR")}
    paths = [p for p in kept.get("PYTHONPATH", "").split(os.pathsep) if p and p != str(OFFLINE)]
    return {
        "CONVNN_CACHE": str(scratch / "cache"),
        "CONVNN_TEST_CONNECTIONS": str(scratch / "connections.txt"),
        **kept,
        "PYTHONPATH": os.pathsep.join([str(OFFLINE), *paths]),
        "OMP_NUM_THREADS": "1",
        MARK: str(storage),
        **more,
    }


class Driver:
    """A `convnn` command in the background, in its own process group, as in a terminal."""

    def __init__(self, arguments: tuple[object, ...], output: Path, environment: Mapping[str, str]) -> None:
        self.command = ["convnn", *map(str, arguments)]
        self._output = output
        with output.open("wb") as file:
            self.started = time.time()
            self._process = subprocess.Popen(
                [CONVNN, *self.command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
            )
        self.ended: float | None = None

    @property
    def pid(self) -> int:
        """Its process id, and its process group id."""
        return self._process.pid

    @property
    def output(self) -> str:
        """Its output so far, on both streams."""
        return self._output.read_text(errors="replace")

    def ends_within(self, seconds: float) -> bool:
        """Wait for its end, for at most this long; return whether it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, seconds))
            self.ended = self.ended or time.time()
        return self.ended is not None

    def end(self, *codes: int, within_s: float = END_S) -> str:
        """Wait for its end with one of these exit codes; return its output, which must have no traceback."""
        late = f"`{self}` still runs after {within_s:g} s; its output:\n"
        expect_in_time(self.ends_within(within_s), f"{late}{self.output[-2000:]}")
        said, code = self.output, self._process.returncode
        expected = " or ".join(map(str, codes))
        expect(code in codes, f"`{self}` ended with {code}, not with {expected}; its output:\n{said[-3000:]}")
        expect("Traceback" not in said, f"`{self}` shows a traceback:\n{said[-3000:]}")
        return said

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return (self.ended or time.time()) - self.started

    @property
    def code(self) -> int | None:
        """The exit code once it has ended; negative if a signal ended it."""
        return self._process.returncode

    def signal(self, number: int) -> None:
        """Send it a signal, as `kill` does."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def signal_group(self, number: int) -> None:
        """Send a signal to it and its children, as a terminal does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def reap(self) -> None:
        """Kill it if it still runs, and release it."""
        if not self.ends_within(0):
            self.signal(signal.SIGKILL)
            self.ends_within(GONE_S)

    def __str__(self) -> str:
        return " ".join(self.command)


@dataclass(frozen=True)
class Worker:
    """A process that trains, with the attempt whose log it writes; `None` if it writes none yet."""

    pid: int
    parent: int
    run_key: str | None
    attempt: int | None


def workers(storage: Path) -> list[Worker]:
    """Return the Ray workers for the sweeps in `storage`."""
    return [_worker(pid) for pid in marked(storage) if b"ray::ImplicitFunc" in _read(pid, "cmdline")]


def training(storage: Path) -> list[Worker]:
    """Return the workers that have started an attempt."""
    return [worker for worker in workers(storage) if worker.run_key is not None]


def marked(storage: Path) -> list[int]:
    """Return every process of the sweeps in `storage`."""
    mark = f"{MARK}={storage}\0".encode()
    return [pid for pid in _processes() if mark in _read(pid, "environ")]


def left_over(storage: Path) -> list[int]:
    """Return the processes that should have ended; Ray's agents notice a dead node only after a minute."""
    return [pid for pid in marked(storage) if not command_line(pid).startswith(AGENTS)]


def children(parent: int) -> list[int]:
    """Return the processes that `parent` has started."""
    return [pid for pid in _processes() if _parent(pid) == parent]


def command_line(pid: int) -> str:
    """Return the command line of a process; empty if it does not exist."""
    return _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace")


def kill_left_over(storage: Path) -> None:
    """Kill the processes that a fault has left behind, by their ids."""
    for pid in marked(storage):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _processes() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _parent(pid: int) -> int:
    fields = _read(pid, "stat").rpartition(b") ")[2].split()
    return int(fields[1]) if fields else 0


def _worker(pid: int) -> Worker:
    log = ""
    with contextlib.suppress(OSError):
        log = str(Path(f"/proc/{pid}/fd/1").readlink())
    found = re.search(r"/trials/([^/]+)/(\d+)/log\.txt$", log)
    return Worker(pid, _parent(pid), found[1] if found else None, int(found[2]) if found else None)
