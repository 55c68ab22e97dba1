"""Faults done to one sweep, one after another, so that each start of it serves two of them.

Each is checked by itself as soon as it is done. What the ledger had by then is compared with the sweep left alone at
the end, when also the whole is.
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

EVERY_S = 0.3
"""A ledger is looked into this often."""

PATIENCE = 2
"""Faults of a chain that are not survived, after which the rest is not done."""


class Chain:
    """A sweep, and the faults that are done to it in the order of `steps`.

    A step may find the sweep running, and may leave it so: see `running` and `start`.
    """

    name: ClassVar[str]
    sweep: Sweep
    steps: ClassVar[Mapping[str, Callable[[Any], None]]]
    """By the line of the table, methods of the chain."""

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
        """The fault that is being done."""
        return self.round.case

    def do(self, wanted: Collection[str]) -> list[Case]:
        """Do those of its faults that are wanted; never raises."""
        self.wanted = wanted
        cases = [Case(name, self.bench) for name in self.steps if name in wanted]
        place = self.bench.scratch / f"chain-{self.name}-{self.bench.repeat}"
        try:
            with self.opened(cases[0], place):
                for case in cases:
                    self._do(case)
                self._finish(cases)
        except Exception as error:  # noqa: BLE001 - said in the table
            for case in cases:
                case.note(type(error).__name__, error)
        if all(case.passed for case in cases):
            shutil.rmtree(place, ignore_errors=True)
        return cases

    @contextlib.contextmanager
    def opened(self, first: Case, place: Path, storage: Path | None = None) -> Iterator[None]:
        """A folder for the sweep, which is in `storage` if given, and whatever else it needs."""
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
            case.note("not done", kind("others of its chain were not survived"))
            return
        self.round.case = case
        before, began = self.round.injected, time.monotonic()
        try:
            self.steps[case.name](self)
            self.round.settle()
        except Exception as error:  # noqa: BLE001 - the fault was not survived, and says why
            case.note(f"in {self.round.place}", error)
            self.round.close()
        else:
            case.survived = self.round.injected - before
        finally:
            case.injected = self.round.injected - before
            case.seconds = time.monotonic() - began
        if case.injected and not case.failures:
            self._struck.append(case)
        with contextlib.suppress(LedgerError):  # none was made yet
            self._kept.append((case, self.round.record()))
        say(f"{case.name}: {'done' if case.survived else 'FAILED'}, {case.seconds:.0f} s")

    def _finish(self, cases: list[Case]) -> None:
        """Let the sweep end, and compare all of it; a step that failed may keep it from that."""
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
        except Exception as error:  # noqa: BLE001 - said in the table
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
        """The sweep left alone."""
        return self.bench.reference(self.sweep).record

    def running(self, *options: object) -> Driver:
        """The driver that runs the sweep; where there is none, one that goes on with it."""
        if self.driver is None or self.driver.ends_within(0):
            self.driver = self.round.go_on(*self.options, *options)
            self.options = ()
            self._goes_on()
        return self.driver

    def start(self, *options: object) -> Driver:
        """A new driver that goes on with the sweep, which nobody runs."""
        assert self.driver is None or self.driver.ends_within(0)
        return self.running(*options)

    def command(self, *arguments: object) -> Driver:
        """Another command than `resume` that goes on with the sweep."""
        self.driver = self.round.start(*arguments)
        self._goes_on()
        return self.driver

    def _goes_on(self) -> None:
        """What was done before is survived with this driver's first epoch."""
        assert self.driver is not None
        for case in self._struck:
            self.round.recovers(self.driver.started, self.driver, case=case)
        self._struck.clear()

    def in_training(self, driver: Driver, epochs: int | None = None) -> None:
        """Wait until some epochs of this driver are recorded, and a random time longer."""
        wanted = epochs or self.case.rng.randint(1, 3)
        self.wait_for(
            lambda: self.recorded_after(driver.started) >= wanted or driver.ends_within(0), f"{wanted} epochs"
        )
        expect_in_time(
            not driver.ends_within(self.case.rng.uniform(0, 0.5)), f"it ended before it was hit:\n{driver.output}"
        )

    def recorded_after(self, moment: float) -> int:
        """How many epochs were."""
        return sum(at > moment for at, *_ in self.round.record().recorded)

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """See `driving.wait_for`; what is asked for may be in a ledger that is still being made."""

        def ask() -> object:
            with contextlib.suppress(LedgerError):
                return condition()
            return None

        wait_for(ask, what, every_s=EVERY_S)

    def expect_said(self, driver: Driver, pattern: str) -> None:
        """It has said so."""
        expect(re.search(pattern, driver.output), f"{pattern!r} is not said:\n{driver.output[-3000:]}")
