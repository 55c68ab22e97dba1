"""A sweep whose tracker fails in every way, one after another; its training speed is measured meanwhile."""

import contextlib
import time
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import ClassVar

from tests.faults import oracle
from tests.faults.bench import Bench, Case
from tests.faults.chain import Chain
from tests.faults.driving import WAIT_S, Driver, expect, expect_in_time
from tests.faults.oracle import Record
from tests.faults.sweeps import GRID, LONGER_GRID, Sweep
from tests.faults.trackers import Interval, Tracker, compare_speed, gaps, tracked, tracker_of
from tune_jobs.driver.stop import stop_trial
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger

TRACKED = GRID.but(
    name="tracked",
    space__model__layer={"lambda": 0.5},
    space__training__epochs=400,
    resources={"max_concurrent": 1},
)
"""Two trials of one model, one at a time; they are also trials of `LONGER_GRID`, but longer, and stopped by hand."""

TRIALS = (1, 2)

COMPARED: int = LONGER_GRID.content["space"]["training"]["epochs"]
"""Epochs of a trial that are compared."""

HELD_S = 1.5
"""How long an outage lasts after the first request that meets it."""

HANGS_S = 30.0
"""How long a request waits for an answer."""


class TrackerChain(Chain):
    """A real server behind a proxy."""

    name = "tracker"
    sweep = TRACKED
    tracker: Tracker

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self._failing: list[Interval] = []
        self._gone = False

    @contextlib.contextmanager
    def opened(self, first: Case, place: Path, storage: Path | None = None) -> Iterator[None]:
        """Open it with a tracker."""
        with tracker_of(first, 0) as self.tracker, super().opened(first, place, storage):
            tracked(self.round, self.tracker)
            yield

    def killed(self) -> None:
        """The server is killed and restarted."""
        self._outage(Tracker.kill, Tracker.start)

    def slow(self) -> None:
        """Every call is slow."""
        self._outage(lambda tracker: tracker.proxy.slow(5))

    def fails(self) -> None:
        """The server answers 500."""
        self._outage(lambda tracker: tracker.proxy.answer(500))

    def refuses(self) -> None:
        """The server answers 403."""
        self._outage(lambda tracker: tracker.proxy.answer(403))

    def drops_answers(self) -> None:
        """Requests are processed, but their answers are lost."""
        self._outage(lambda tracker: tracker.proxy.drop_answers())

    def is_silent(self) -> None:
        """A request that meets it hangs for half a minute, even if the tracker recovers."""
        self._outage(lambda tracker: tracker.proxy.black_hole())
        begun, _ = self._failing.pop()
        self._failing.append((begun, time.time() + HANGS_S))

    def _outage(self, fail: Callable[[Tracker], None], mend: Callable[[Tracker], None] = Tracker.mend) -> None:
        """Fail until a request has met the outage, and a while longer; training continues meanwhile."""
        driver = self.running()
        self.in_training(driver, epochs=1)
        self._expect_shipped(driver)
        begun = time.time()
        fail(self.tracker)
        self._expect_asked(driver)
        self.round.hit(self.case.name)
        driver.ends_within(HELD_S)
        met, ended = self.recorded_after(begun), time.time()
        mend(self.tracker)
        self._failing.append((begun, ended))
        self.case.recoveries.append((self.round.record().epochs_after(begun) or ended) - begun)
        expect_in_time(met, f"no epoch was trained in {ended - begun:.1f} s")

    def _expect_shipped(self, driver: Driver) -> None:
        """Check that everything was synced; otherwise, the next try would be delayed more and more."""
        began = self._shipped()
        self.wait_for(lambda: self._shipped() != began or driver.ends_within(0), "something is synced")
        self.wait_for(lambda: self.tracker.rests() or driver.ends_within(0), "everything is synced")
        expect_in_time(not driver.ends_within(0), f"the sweep ended before the tracker failed:\n{driver.output}")

    def _shipped(self) -> object:
        with contextlib.closing(Ledger(self.round.ledger)) as ledger:
            return ledger.tracked()

    def _expect_asked(self, driver: Driver) -> None:
        expect_in_time(self.tracker.asked(driver), f"the sweep ended before the tracker failed:\n{driver.output}")

    def gone(self) -> None:
        """The tracker stays down; the sweep ends and says so, and `convnn sync` sends everything later."""
        driver, name = self.running(), self.sweep.name
        self.in_training(driver, epochs=1)
        self.round.hit("the tracker stays down")
        self.tracker.kill()
        said = self._cut_short(driver)
        expect(
            f"MLflow at {self.tracker.proxy.uri} is missing results" in said,
            f"the output does not say so:\n{said}",
        )
        expect(f"convnn sync {name}" in said, f"the way out is missing:\n{said}")
        self.round.check(reference=self.reference(), tracker=False)
        refused = self.round.start("sync", name).end(4)
        expect(self.tracker.proxy.uri in refused, f"the unreachable tracker is not named:\n{refused}")
        self.tracker.start()
        self.round.start("sync", name).end(0)
        before = self.round.record()
        self.round.start("sync", name).end(0)
        expect(self.round.record() == before, "sync changed the sweep's record")
        self._gone = True

    def _cut_short(self, driver: Driver) -> str:
        """Stop each trial once it has the epochs that are compared; return the driver's output after its end."""
        for number in TRIALS:
            self.wait_for(partial(self._has_enough, driver, number), f"trial {number} trains")
            if not driver.ends_within(0):
                stop_trial(SweepFolder(self.round.folder), str(number), WAIT_S)
        return driver.end(0)

    def _has_enough(self, driver: Driver, number: int) -> bool:
        trials = self.round.record().trials.values()
        return driver.ends_within(0) or any(t.number == number and len(t.epochs) >= COMPARED for t in trials)

    def end(self) -> None:
        """Sync the rest; compare speeds."""
        if not self._gone and f"convnn sync {self.sweep.name}" in self._cut_short(self.running()):
            self.round.start("sync", self.sweep.name).end(0)
        found = list(gaps(self.round.record(), self._failing))
        if len(self._failing) == len(self.steps) - 1:
            compare_speed(self.case, *([gap for gap, inside in found if inside is which] for which in (True, False)))

    def references(self, wanted: Collection[str]) -> list[Sweep]:
        """Return the sweep whose trials start like these."""
        del wanted
        return [LONGER_GRID]

    def reference(self) -> Record:
        """Return its own record: a tracker does not affect training. Each trial starts like one of `LONGER_GRID`."""
        record = self.round.record()
        alike = self.bench.reference(LONGER_GRID).record.trials.values()
        for trial in record.trials.values():
            expect(
                any(oracle.begins_as(trial, other) for other in alike),
                f"trial {trial.number} does not start like any of {LONGER_GRID.name}",
            )
        return record

    steps: ClassVar = {
        "tracker kill -9, restarted": killed,
        "tracker slow, 5 s a call": slow,
        "tracker answers 500": fails,
        "tracker answers 403": refuses,
        "tracker drops its answers": drops_answers,
        "tracker is a black hole": is_silent,
        "tracker gone for good, sync": gone,
    }
