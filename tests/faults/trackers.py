"""Trackers that fail while a sweep runs: training goes on at its speed, and at the end each number is there once.

Between the sweep and a real MLflow server stands `tests.tune_jobs.servers.FaultyProxy`. It fails and works in turn, for
random times, so that the speed with and without the fault is measured in one run.
"""

import contextlib
import functools
import os
import re
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from tests.faults.bench import Case, Fault, Round
from tests.faults.driving import children, command_line, expect
from tests.faults.oracle import Record
from tests.faults.sweeps import GRID, SHORT_GRID
from tests.tune_jobs.servers import FaultyProxy, faulty_proxy, free_port, mlflow_server

TRACKED = GRID.but(
    name="tracked",
    space__model__layer={"lambda": 0.5},
    space__training={"epochs": 60, "batch_size": 24},
    resources={"max_concurrent": 1},
)
"""Two trials of one model, as epochs are compared; one at a time, so that a processor is left for the tracker."""

SLOWEST = 1.5
"""Times that the median epoch may take while the tracker fails. Others use the machine too."""

FEWEST = 8
"""Epochs with and without the fault that the speed is measured from."""

AT_MOST = 8
"""Outages per run."""

Interval = tuple[float, float]


class Tracker:
    """A server that can be killed and started again, behind a proxy."""

    def __init__(self, folder: Path, proxy: FaultyProxy, port: int) -> None:
        self.proxy = proxy
        self.direct = f"http://127.0.0.1:{port}"
        self._folder = folder
        self._port = port
        self._running = contextlib.ExitStack()
        self.start()

    def start(self) -> None:
        """Start the server, on the store that it had."""
        self._running.enter_context(mlflow_server(self._folder, self._port))

    def kill(self) -> None:
        """Kill it."""
        for pid in children(os.getpid()):
            if f"--port {self._port} " in command_line(pid):
                os.killpg(pid, signal.SIGKILL)
        self.close()

    def mend(self) -> None:
        """Whatever was wrong is not any more."""
        self.proxy.ok()

    def close(self) -> None:
        """Stop the server."""
        self._running.close()


@contextlib.contextmanager
def _tracker(case: Case, number: int) -> Iterator[Tracker]:
    folder = case.bench.scratch / f"tracker-{re.sub('[^a-z0-9]+', '-', case.name)}-{case.bench.repeat}.{number}"
    folder.mkdir()
    port = free_port()
    with faulty_proxy(free_port(), port) as proxy:
        tracker = Tracker(folder, proxy, port)
        try:
            yield tracker
        finally:
            tracker.close()


def _tracked(round_: Round, tracker: Tracker) -> None:
    round_.environment["MLFLOW_TRACKING_URI"] = tracker.proxy.uri
    round_.tracker = tracker.direct


def _outages(case: Case, fail: Callable[[Tracker], None], mend: Callable[[Tracker], None] = Tracker.mend) -> None:
    """Fail and mend in turn, from the start of a sweep to its end."""
    sweep = SHORT_GRID if case.short else TRACKED
    with_fault: list[float] = []
    without: list[float] = []
    with _tracker(case, 0) as tracker, case.round(sweep) as round_:
        _tracked(round_, tracker)
        driver = round_.run()
        failing: list[Interval] = []
        while round_.injected < AT_MOST and not driver.ends_within(case.rng.uniform(0, 6)):
            begun = round_.hit(case.name)
            fail(tracker)
            round_.recovers(begun, driver)
            driver.ends_within(case.rng.uniform(1, 6))
            mend(tracker)
            failing.append((begun, time.time()))
        if f"convnn sync {sweep.name}" in driver.end(0):  # it came back too late
            round_.start("sync", sweep.name).end(0)
        for gap, inside in _gaps(round_.check(), failing):
            (with_fault if inside else without).append(gap)
        _compare_speed(case, with_fault, without)


def _gaps(record: Record, failing: list[Interval]) -> Iterator[tuple[float, bool]]:
    """Seconds from epoch to epoch of one attempt, and whether the tracker failed all the time between."""
    before: dict[tuple[str, int], float] = {}
    for at, key, attempt, _ in record.recorded:
        last = before.get((key, attempt))
        if last is not None:
            touched = any(begun < at and last < ended for begun, ended in failing)
            inside = any(begun <= last and at <= ended for begun, ended in failing)
            if inside or not touched:
                yield at - last, inside
        before[key, attempt] = at


def _compare_speed(case: Case, with_fault: list[float], without: list[float]) -> None:
    if case.short:
        return
    enough = len(with_fault) >= FEWEST <= len(without)
    expect(enough, f"only {len(with_fault)} epochs with the fault and {len(without)} without it")
    ratio = statistics.median(with_fault) / statistics.median(without)
    case.remarks.append(f"epochs take x{ratio:.2f}")
    expect(ratio <= SLOWEST, f"epochs take {ratio:.2f} times as long while the tracker fails")


def _gone(case: Case) -> None:
    """It goes away and stays away; the sweep ends in its time, says so, and `convnn sync` ships it all later."""
    sweep = SHORT_GRID
    for number in count():
        if case.injected:
            return
        with _tracker(case, number) as tracker, case.round(sweep) as round_:
            _tracked(round_, tracker)
            driver = round_.run()
            if driver.ends_within(round_.moment(0.8)):
                continue
            begun = round_.hit("the tracker is gone for good")
            tracker.kill()
            round_.recovers(begun, driver)
            said = driver.end(0)
            expect(f"convnn sync {sweep.name}" in said, f"the way out is not said:\n{said}")
            round_.check(tracker=False)
            refused = round_.start("sync", sweep.name).end(4)
            expect(tracker.proxy.uri in refused, f"the tracker that is away is not named:\n{refused}")
            tracker.start()
            round_.start("sync", sweep.name).end(0)
            before = round_.check()
            round_.start("sync", sweep.name).end(0)
            expect(round_.check() == before, "sync changed the sweep's record")


FAULTS = [
    Fault("tracker kill -9, restarted", functools.partial(_outages, fail=Tracker.kill, mend=Tracker.start), alone=True),
    Fault("tracker slow, 5 s a call", functools.partial(_outages, fail=lambda t: t.proxy.slow(5)), alone=True),
    Fault("tracker answers 500", functools.partial(_outages, fail=lambda t: t.proxy.answer(500)), alone=True),
    Fault("tracker answers 403", functools.partial(_outages, fail=lambda t: t.proxy.answer(403)), alone=True),
    Fault("tracker is a black hole", functools.partial(_outages, fail=lambda t: t.proxy.black_hole()), alone=True),
    Fault("tracker drops its answers", functools.partial(_outages, fail=lambda t: t.proxy.drop_answers()), alone=True),
    Fault("tracker gone for good, sync", _gone),
]
