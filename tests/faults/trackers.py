"""Trackers that fail during a sweep: training keeps its speed, and at the end each value is there once.

Between the sweep and a real MLflow server is `tests.tune_jobs.servers.FaultyProxy`. It fails and works in turn, for
random times, so that the speed with and without the fault is measured in one run. Only outages that the sweep met are
counted: the tracker fails, and works, until a request was made.
"""

import contextlib
import re
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

from tests.faults.bench import Case, Fault, Round
from tests.faults.driving import Driver, TookTooLong, expect, expect_in_time, wait_for
from tests.faults.oracle import Record
from tests.faults.sweeps import GRID, SHORT_GRID
from tests.tune_jobs.servers import FaultyProxy, MlflowServer, faulty_proxy, free_port

TRACKED = GRID.but(
    name="tracked",
    space__model__layer={"lambda": 0.5},
    space__training={"epochs": 60, "batch_size": 24},
    resources={"max_concurrent": 1},
)
"""Two trials of one model, so that epochs are comparable; one at a time, so that the tracker has a CPU."""

ONE = SHORT_GRID.but(name="one", space__model__layer={"lambda": 0.5}, space__training__epochs=4)
"""One trial: its store is changed before training starts."""

SLOWEST = 1.5
"""Maximum slowdown of the median epoch while the tracker fails, on a shared machine."""

FEWEST = 8
"""Minimum number of epochs with and without the fault for measuring speed."""

MOMENT_S = 0.3
"""Longer than the pause between the requests of one sync."""

AT_LEAST, AT_MOST = 3, 8
"""Outages that the sweep meets: in total, and per run."""

Interval = tuple[float, float]


class Tracker:
    """A server behind a proxy; it can be killed and restarted."""

    def __init__(self, folder: Path, proxy: FaultyProxy, port: int) -> None:
        self.proxy = proxy
        self._server = MlflowServer(folder, port)
        self.direct = self._server.uri
        self.start()

    def start(self) -> None:
        """Start the server on its existing store."""
        try:
            self._server.start()
        except AssertionError as error:
            self._server.kill()
            raise TookTooLong(f"MLflow's server did not start: {error}") from error

    def kill(self) -> None:
        """Kill the server."""
        self._server.kill()

    def mend(self) -> None:
        """End any fault of the proxy."""
        self.proxy.ok()

    def asked(self, driver: Driver) -> bool:
        """Wait for the next request; return false if the driver ends without one."""
        before = len(self.proxy.calls)
        wait_for(lambda: len(self.proxy.calls) > before or driver.ends_within(0), "a request to the tracker")
        return len(self.proxy.calls) > before

    def rests(self) -> bool:
        """Whether no request was made for a moment."""
        before = len(self.proxy.calls)
        time.sleep(MOMENT_S)
        return len(self.proxy.calls) == before

    def close(self) -> None:
        """Stop the server."""
        self._server.kill(signal.SIGTERM)


@contextlib.contextmanager
def tracker_of(case: Case, number: int) -> Iterator[Tracker]:
    """Start a tracker for the sweep of this number."""
    folder = case.bench.scratch / f"tracker-{re.sub('[^a-z0-9]+', '-', case.name)}-{case.bench.repeat}.{number}"
    folder.mkdir()
    port = free_port()
    with faulty_proxy(port) as proxy:
        tracker = Tracker(folder, proxy, port)
        try:
            yield tracker
        finally:
            tracker.close()


def tracked(round_: Round, tracker: Tracker) -> None:
    """Let the sweep use this tracker."""
    round_.environment["MLFLOW_TRACKING_URI"] = tracker.proxy.uri
    round_.tracker = tracker.direct


def _outages(
    case: Case,
    fail: Callable[[Tracker], None],
    mend: Callable[[Tracker], None] = Tracker.mend,
    *,
    hangs: bool = False,
    measured: bool = False,
) -> None:
    """Fail and recover in turn, from the start of a sweep to its end.

    Args:
        case: Receives the result.
        fail: Injects the fault.
        mend: Ends the fault.
        hangs: Whether a request that met the fault hangs on after its end, for half a minute, most of the sweep.
            Then the fault lasts until the next request, and starts at any moment.
        measured: Whether the training speed is compared; then nothing else may run.
    """
    with_fault: list[float] = []
    without: list[float] = []
    for number in count():
        if case.injected >= AT_LEAST:
            break
        with tracker_of(case, number) as tracker, case.round(TRACKED) as round_:
            tracked(round_, tracker)
            driver = round_.run()
            failing: list[Interval] = []
            while round_.injected < AT_MOST and not driver.ends_within(_pause(round_, hangs=hangs)):
                begun, ended = _outage(round_, driver, tracker, fail, mend)
                tracker.asked(driver)
                failing.append((begun, time.time() if hangs else ended))
            if f"convnn sync {TRACKED.name}" in driver.end(0):  # it recovered too late
                round_.start("sync", TRACKED.name).end(0)
            for gap, inside in gaps(round_.check(), failing):
                (with_fault if inside else without).append(gap)
    if measured:
        compare_speed(case, with_fault, without)


def _pause(round_: Round, *, hangs: bool) -> float:
    return round_.moment(0.7) if hangs else round_.case.rng.uniform(0, 3)


def _outage(
    round_: Round, driver: Driver, tracker: Tracker, fail: Callable[[Tracker], None], mend: Callable[[Tracker], None]
) -> Interval:
    """Fail until the sweep has met the outage, and a while longer; return its time."""
    begun = time.time()
    fail(tracker)
    if tracker.asked(driver):
        round_.hit(round_.case.name)
        round_.recovers(begun, driver)
        driver.ends_within(round_.case.rng.uniform(1, 4))
    mend(tracker)
    return begun, time.time()


def gaps(record: Record, failing: list[Interval]) -> Iterator[tuple[float, bool]]:
    """Yield the seconds between epochs of one attempt, and whether the tracker failed all that time."""
    before: dict[tuple[str, int], float] = {}
    for at, key, attempt, _ in record.recorded:
        last = before.get((key, attempt))
        if last is not None:
            touched = any(begun < at and last < ended for begun, ended in failing)
            inside = any(begun <= last and at <= ended for begun, ended in failing)
            if inside or not touched:
                yield at - last, inside
        before[key, attempt] = at


def compare_speed(case: Case, with_fault: list[float], without: list[float]) -> None:
    """Check that training does not wait for the tracker."""
    enough = len(with_fault) >= FEWEST <= len(without)
    expect_in_time(enough, f"only {len(with_fault)} epochs with the fault and {len(without)} without it")
    ratio = statistics.median(with_fault) / statistics.median(without)
    case.remarks.append(f"epochs take x{ratio:.2f}")
    expect_in_time(ratio <= SLOWEST, f"epochs take {ratio:.2f} times as long while the tracker fails")


def _gone(case: Case) -> None:
    """The tracker stays down; the sweep ends in time and says so, and `convnn sync` sends everything later."""
    sweep = SHORT_GRID
    for number in count():
        if case.injected:
            return
        with tracker_of(case, number) as tracker, case.round(sweep) as round_:
            tracked(round_, tracker)
            driver = round_.run()
            if driver.ends_within(round_.moment(0.8)):
                continue
            begun = round_.hit("the tracker stays down")
            tracker.kill()
            round_.recovers(begun, driver)
            said = driver.end(0)
            expect(f"convnn sync {sweep.name}" in said, f"the way out is missing:\n{said}")
            round_.check(tracker=False)
            refused = round_.start("sync", sweep.name).end(4)
            expect(tracker.proxy.uri in refused, f"the unreachable tracker is not named:\n{refused}")
            tracker.start()
            round_.start("sync", sweep.name).end(0)
            before = round_.check()
            round_.start("sync", sweep.name).end(0)
            expect(round_.check() == before, "sync changed the sweep's record")


def _one_store(case: Case) -> None:
    """Two drivers open their missing store at the same time; one is killed while creating it."""
    other = ONE.but(name=f"{ONE.name}-2")
    while not case.injected:
        with case.round(ONE) as one, case.round(other, one.storage) as two:
            (one.storage / "mlflow.db").unlink()
            drivers, begun = [one.run(), two.run()], partial(_store_begun, one.storage)
            wait_for(begun, "a store is being created")
            one.hit("two drivers open a store at the same time")
            killed = two.hit("kill -9 of the second")
            drivers[1].signal(signal.SIGKILL)
            drivers[1].ends_within(AT_MOST)
            again = two.go_on()
            two.recovers(killed, again)
            for driver in (drivers[0], again):
                said = driver.end(0)
                expect("is missing results" not in said, f"MLflow lacks something:\n{said}")
            for round_ in (one, two):
                round_.check()


def _store_begun(storage: Path) -> bool:
    return any(name.name != ".mlflow.db.lock" for name in storage.glob("*mlflow.db*"))


FAULTS = [
    Fault("two drivers open one store", _one_store),
    Fault("tracker kill -9, restarted", partial(_outages, fail=Tracker.kill, mend=Tracker.start)),
    Fault(
        "tracker slow, 5 s a call",
        partial(_outages, fail=lambda t: t.proxy.slow(5), measured=True),
        alone=True,
    ),
    Fault("tracker answers 500", partial(_outages, fail=lambda t: t.proxy.answer(500))),
    Fault("tracker answers 403", partial(_outages, fail=lambda t: t.proxy.answer(403))),
    Fault("tracker is a black hole", partial(_outages, fail=lambda t: t.proxy.black_hole(), hangs=True)),
    Fault("tracker drops its answers", partial(_outages, fail=lambda t: t.proxy.drop_answers())),
    Fault("tracker gone for good, sync", _gone),
]
