"""Faults injected into one sweep, one after another, so that each start of the sweep serves two of them.

Each is checked by itself immediately. At the end, the ledger of that moment and the whole sweep are compared with the
undisturbed sweep.
"""

import contextlib
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from tests.faults import oracle
from tests.faults.bench import Bench, Case, Round, say
from tests.faults.driving import Driver, TookTooLong, expect, expect_in_time, wait_for
from tests.faults.oracle import Record
from tests.faults.sweeps import Sweep
from tune_jobs.errors import LedgerError
from tune_jobs.record.ledger import Ledger

EVERY_S = 0.3
"""Interval at which a ledger is read."""

PATIENCE = 2
"""The rest of a chain is skipped after this many faults that were not survived."""


class Chain:
    """A sweep, and the faults that are injected into it in the order of `steps`.

    A step may find the sweep running, and may leave it running: see `running` and `start`.
    """

    name: ClassVar[str]
    sweep: Sweep
    steps: ClassVar[Mapping[str, Callable[[Any], None]]]
    """The methods of the chain, by line of the table."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.round: Round
        self.driver: Driver | None = None
        self.wanted: Collection[str] = ()
        self.options: tuple[object, ...] = ()
        """For the next start."""

        self._struck: list[Case] = []
        self._kept: list[tuple[Case, Record]] = []

    @property
    def case(self) -> Case:
        """The fault that is being injected."""
        return self.round.case

    def references(self, wanted: Collection[str]) -> list[Sweep]:
        """Return the undisturbed sweeps with which the faults in `wanted` are compared."""
        del wanted
        return [self.sweep]

    def do(self, wanted: Collection[str]) -> list[Case]:
        """Inject the faults in `wanted`; never raises."""
        self.wanted = wanted
        cases = [Case(name, self.bench) for name in self.steps if name in wanted]
        place = self.bench.scratch / f"chain-{self.name}-{self.bench.repeat}"
        try:
            with self.opened(cases[0], place):
                for case in cases:
                    self._do(case)
                self._finish(cases)
        except Exception as error:  # noqa: BLE001 - shown in the table
            for case in cases:
                case.note(type(error).__name__, error)
        if all(case.passed for case in cases):
            shutil.rmtree(place, ignore_errors=True)
        return cases

    @contextlib.contextmanager
    def opened(self, first: Case, place: Path, storage: Path | None = None) -> Iterator[None]:
        """Open a folder for the sweep and everything else that it needs; the sweep is in `storage` if given."""
        place.mkdir(parents=True, exist_ok=True)
        self.round = Round(first, self.sweep, place, storage or place / "storage")
        try:
            yield
        finally:
            self.round.close()

    def _do(self, case: Case) -> None:
        if sum(not other.passed for other, _ in self._kept) >= PATIENCE:
            late = all(other.late for other, _ in self._kept if not other.passed)
            kind = TookTooLong if late else AssertionError
            case.note("not done", kind("other faults of its chain were not survived"))
            return
        self.round.case = case
        before, began = self.round.injected, time.monotonic()
        try:
            self.steps[case.name](self)
            self.round.settle()
        except Exception as error:  # noqa: BLE001 - the error says why the fault was not survived
            case.note(f"in {self.round.place}", error)
            self.round.close()
        else:
            case.survived = self.round.injected - before
        finally:
            case.injected = self.round.injected - before
            case.seconds = time.monotonic() - began
        if case.injected and not case.failures:
            self._struck.append(case)
        with contextlib.suppress(LedgerError):  # it does not exist yet
            self._kept.append((case, self.round.record()))
        say(f"{case.name}: {'done' if case.survived else 'FAILED'}, {case.seconds:.0f} s")

    def _finish(self, cases: list[Case]) -> None:
        """Let the sweep end, and compare it as a whole; a failed step may prevent that."""
        began = time.monotonic()
        whole = not any(case.failures for case in cases)
        try:
            self.end()
            reference = self.reference()
            self.round.check(reference=reference)
            before: Record | None = None
            for case, record in self._kept:
                case.found.add(oracle.compare_so_far(reference, before, record))
                before = record
            for case in cases if whole else ():
                case.found.add(self.round.found)
        except Exception as error:  # noqa: BLE001 - shown in the table
            for case in cases if whole else ():
                case.note(f"the end, in {self.round.place}", error)
        for case in cases:
            if case.found:
                say(f"{case.name}: {case.found}")
        say(f"{self.name}: its end and its comparison took {time.monotonic() - began:.0f} s")

    def end(self) -> None:
        """Let the sweep run to its end."""
        self.running().end(0)

    def reference(self) -> Record:
        """Return the undisturbed sweep."""
        return self.bench.reference(self.sweep).record

    def running(self, *options: object) -> Driver:
        """Return the driver that runs the sweep; if there is none, start one that resumes it."""
        if self.driver is None or self.driver.ends_within(0):
            self.driver = self.round.go_on(*self.options, *options)
            self.options = ()
            self._goes_on()
        return self.driver

    def start(self, *options: object) -> Driver:
        """Start a new driver that resumes the sweep, which has no driver."""
        assert self.driver is None or self.driver.ends_within(0)
        return self.running(*options)

    def command(self, *arguments: object) -> Driver:
        """Run a command other than `resume` that resumes the sweep."""
        self.driver = self.round.start(*arguments)
        self._goes_on()
        return self.driver

    def _goes_on(self) -> None:
        """The earlier fault is survived with this driver's first epoch."""
        assert self.driver is not None
        for case in self._struck:
            self.round.recovers(self.driver.started, self.driver, case=case)
        self._struck.clear()

    def in_training(self, driver: Driver, epochs: int | None = None) -> None:
        """Wait until this driver has recorded some epochs, and then for a random time."""
        wanted = epochs or self.case.rng.randint(1, 3)
        self.wait_for(
            lambda: self.recorded_after(driver.started) >= wanted or driver.ends_within(0), f"{wanted} epochs"
        )
        expect_in_time(
            not driver.ends_within(self.case.rng.uniform(0, 0.5)), f"it ended before the fault:\n{driver.output}"
        )

    def recorded_after(self, moment: float) -> int:
        """Count the epochs recorded after a moment."""
        with contextlib.closing(Ledger(self.round.ledger)) as ledger:
            return sum(epoch.at > moment for epoch in ledger.epochs())

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """See `driving.wait_for`; the condition may read a ledger that is still being created."""

        def ask() -> object:
            with contextlib.suppress(LedgerError):
                return condition()
            return None

        wait_for(ask, what, every_s=EVERY_S)

    def expect_said(self, driver: Driver, pattern: str) -> None:
        """Check that the driver has printed the pattern."""
        expect(re.search(pattern, driver.output), f"{pattern!r} is missing in the output:\n{driver.output[-3000:]}")
