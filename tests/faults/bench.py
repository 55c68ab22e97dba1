"""The base of all faults: folders, references, random moments, and counts of what a fault did."""

import contextlib
import os
import random
import re
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import oracle
from tests.faults.driving import (
    END_S,
    GONE_S,
    Driver,
    TookTooLong,
    command_line,
    environment,
    expect,
    kill_left_over,
    left_over,
    wait_for,
)
from tests.faults.oracle import Differences, Record
from tests.faults.sweeps import Sweep
from tests.faults.trainer import Trainer
from tests.tune_jobs.stores import new_store

ROOT = Path(__file__).parents[2]

HOPELESS = 3
"""A fault is given up after this many rounds that were not survived."""

STAYS_S = 3 * GONE_S
"""A process that outlives its limit by this much is not late: it hangs."""


class GivenUp(Exception):  # noqa: N818 - the failure was already recorded
    """So many rounds of a fault failed that the others are skipped."""


@dataclass(frozen=True)
class Failure:
    """Why a fault was not survived."""

    said: str
    late: bool
    """Whether it only took too long."""

    def __str__(self) -> str:
        return self.said


@dataclass(frozen=True)
class Reference:
    """A sweep without faults, and how long it took from the command to its end."""

    record: Record
    seconds: float


class Bench:
    """The folders and references that the faults of one call share."""

    def __init__(self, scratch: Path, *, seed: int, long: bool = False, repeat: int = 0, end_s: float = END_S) -> None:
        """`end_s` is how long an undisturbed sweep may take."""
        self.scratch = scratch
        self.seed = seed
        self.long = long
        self.repeat = repeat
        self.end_s = end_s
        self._references: dict[str, Reference] = {}
        self._lifetimes: dict[str, float] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()
        self._trainer = Trainer(environment(scratch / "references", scratch))

    def prepare(self, sweeps: Iterable[Sweep]) -> None:
        """Run undisturbed sweeps in the background, so that they exist when faults are compared with them."""

        def run() -> None:
            for sweep in sweeps:
                with contextlib.suppress(Exception):  # the comparison tries it again, and reports it
                    self.reference(sweep)

        threading.Thread(target=run, name="references", daemon=True).start()

    def close(self) -> None:
        """End the process that trains undisturbed sweeps."""
        self._trainer.close()

    def reference(self, sweep: Sweep) -> Reference:
        """Return the undisturbed sweep; it is run only once."""
        key = sweep.identity()
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._references:
                self._references[key] = self._run_alone(sweep.left_alone())
            return self._references[key]

    def lifetime(self, sweep: Sweep) -> float:
        """Estimate the seconds from a sweep's command to its end, on this machine at this time."""
        return self._lifetimes.get(sweep.identity()) or self.reference(sweep).seconds

    def took(self, sweep: Sweep, seconds: float) -> None:
        """Record how long a run of the whole sweep took."""
        self._lifetimes[sweep.identity()] = seconds

    def _run_alone(self, sweep: Sweep) -> Reference:
        with self._guard:
            storage = self.scratch / f"reference-{len(list(self.scratch.glob('reference-*')))}"
            storage.mkdir(parents=True)
        file = sweep.write(storage / "sweep.yaml")
        if not (storage / "mlflow.db").exists():
            new_store(storage / "mlflow.db")
        began = time.monotonic()
        if self.long:
            driver = Driver(("run", file), storage / "output.txt", environment(storage, self.scratch))
            try:
                driver.end(0, 3, within_s=self.end_s)
            finally:
                driver.reap()
                kill_left_over(storage)
        else:
            self._trainer.train(file, storage, self.end_s)
        seconds = time.monotonic() - began
        say(f"reference of {sweep.name}: it took {seconds:.0f} s")
        record = oracle.read(storage / sweep.name / "ledger.db")
        found = oracle.compare(record, record)
        found.add(oracle.compare_tracker(record, f"sqlite:///{storage / 'mlflow.db'}", sweep.name))
        expect(not found, f"the reference of {sweep.name} is incomplete: {found}")
        return Reference(record, seconds)


@dataclass
class Case:
    """One fault: what it did, and the result."""

    name: str
    bench: Bench
    injected: int = 0
    survived: int = 0
    found: Differences = field(default_factory=Differences)
    recoveries: list[float] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0
    _rounds: int = 0
    _longest: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = random.Random(f"{self.bench.seed}:{self.name}:{self.bench.repeat}")

    @property
    def passed(self) -> bool:
        """Whether every injected fault was survived, and nothing was lost or duplicated."""
        return self.injected == self.survived and self.injected > 0 and not self.found and not self.failures

    @property
    def late(self) -> bool:
        """Whether it failed only because something took too long, or because the fault never occurred."""
        return not self.passed and not self.found and all(failure.late for failure in self.failures)

    def note(self, where: str, error: Exception) -> None:
        """Record why a fault was not survived."""
        self.failures.append(Failure(f"{where}: {error}", isinstance(error, TookTooLong)))
        say(f"{self.name}: NOT SURVIVED, {self.failures[-1]}")
        if not isinstance(error, AssertionError):
            traceback.print_exception(error)

    @contextlib.contextmanager
    def round(self, sweep: Sweep, storage: Path | None = None, *, reference: bool = True) -> Iterator["Round"]:
        """Run one sweep with faults. An error inside is recorded, and the next round continues.

        Args:
            sweep: The sweep to run.
            storage: Its storage folder; a separate folder for this round if `None`.
            reference: Whether to compare it with the undisturbed sweep, which is then run first.
        """
        if len(self.failures) >= HOPELESS:
            raise GivenUp
        if reference:
            self.bench.reference(sweep)
        self._rounds += 1
        place = self.bench.scratch / f"{_slug(self.name)}-{self.bench.repeat}.{self._rounds}"
        place.mkdir(parents=True)
        round_ = Round(self, sweep, place, storage or place / "storage")
        try:
            yield round_
        except Exception as error:  # noqa: BLE001 - the error says why the fault was not survived
            self.note(f"round {self._rounds} in {place}", error)
        else:
            if not round_.found:
                self.survived += round_.injected
        finally:
            round_.close()
            self.injected += round_.injected
            self.found.add(round_.found)
            if round_.found:
                say(f"{self.name}: {round_.found}")
        if self.survived == self.injected and not round_.found:
            shutil.rmtree(place, ignore_errors=True)

    def note_longest(self, what: str, seconds: float) -> None:
        """Add a remark about the longest time that something took."""
        self._longest[what] = max(seconds, self._longest.get(what, 0.0))

    def all_remarks(self) -> list[str]:
        """Return the remarks for the table."""
        return [*self.remarks, *(f"{what} {most:.1f} s at most" for what, most in self._longest.items())]


class Round:
    """One sweep in a separate storage folder, and its commands."""

    def __init__(self, case: Case, sweep: Sweep, place: Path, storage: Path) -> None:
        self.case = case
        self.sweep = sweep
        self.place = place
        self.storage = storage
        self.storage.mkdir(parents=True, exist_ok=True)
        self.folder = storage / sweep.name
        self.ledger = self.folder / "ledger.db"
        self.file = sweep.write(place / "sweep.yaml")
        self.injected = 0
        self.found = Differences()
        self.environment: dict[str, str] = {}
        self.tracker = f"sqlite:///{storage / 'mlflow.db'}"
        self.drivers: list[Driver] = []
        self._waiting: list[tuple[float, str | None, Driver, Case]] = []
        if not (storage / "mlflow.db").exists():
            new_store(storage / "mlflow.db")

    def start(self, *arguments: object, **more: str) -> Driver:
        """Start a `convnn` command in the background."""
        output = self.place / f"output-{len(self.drivers) + 1}.txt"
        driver = Driver(
            arguments, output, environment(self.storage, self.case.bench.scratch, **{**self.environment, **more})
        )
        self.drivers.append(driver)
        return driver

    def run(self, *options: object) -> Driver:
        """Run `convnn run` with the sweep's file."""
        return self.start("run", self.file, *options)

    def go_on(self, *options: object) -> Driver:
        """Run `convnn resume`, as the messages say; `convnn run` if the sweep did not exist yet."""
        return self.start(*self.going_on(), *options)

    def going_on(self) -> tuple[str, str]:
        """Return the command that resumes the sweep."""
        begun = self.ledger.exists() and (self.folder / "sweep.yaml").exists()
        return ("resume", self.sweep.name) if begun else ("run", str(self.file))

    def hit(self, what: str) -> float:
        """Record that the fault happens now; return the time."""
        self.injected += 1
        say(f"{self.case.name}: {what}")
        return time.time()

    def recovers(self, since: float, driver: Driver, run_key: str | None = None, case: Case | None = None) -> None:
        """Measure from `since` to the next epoch, of one trial or any, or to the driver's end; see `settle`."""
        self._waiting.append((since, run_key, driver, case or self.case))

    def record(self) -> Record:
        """Return the current content of the ledger."""
        return oracle.read(self.ledger)

    def moment(self, share: float = 1.0) -> float:
        """Return a random time in seconds, uniform over the first `share` of the sweep's lifetime."""
        return self.case.rng.uniform(0, share * self.case.bench.lifetime(self.sweep))

    def settle(self) -> None:
        """Fill in the pending recoveries, except those of running drivers."""
        if not self._waiting or not self.ledger.exists():
            return
        record, waiting = self.record(), self._waiting
        self._waiting = []
        for since, key, driver, case in waiting:
            then = record.epochs_after(since, key)
            if then is None and driver.code in (0, 3):
                then = driver.ended
            if then is not None and (driver.ended is None or then <= driver.ended):  # not an epoch of a later start
                case.recoveries.append(then - since)
            elif driver.ended is None:
                self._waiting.append((since, key, driver, case))

    def check(
        self,
        *,
        states: Mapping[str, str] | None = None,
        only: Collection[str] | None = None,
        reference: Record | None = None,
        tracker: bool = True,
    ) -> Record:
        """Compare everything with the undisturbed sweep; see `oracle.compare`."""
        self.settle()
        reference = reference or self.case.bench.reference(self.sweep).record
        broken = oracle.damage(self.ledger)
        self.found.lost += [f"the ledger is damaged: {what}" for what in broken]
        record = self.record()
        self.found.add(oracle.compare(reference, record, states=states, only=only))
        if tracker:
            self.found.add(oracle.compare_tracker(record, self.tracker, self.sweep.name))
        return record

    def expect_nothing_left(self) -> None:
        """Check that the sweep's processes ended with its driver."""
        if self._nothing_left_within(GONE_S):
            return
        there = ", ".join(command_line(pid)[:80] for pid in left_over(self.storage))
        late = f"{GONE_S:g} s after the driver's end these still run: {there}"
        expect(self._nothing_left_within(STAYS_S), f"{late}; they hang")
        raise TookTooLong(late)

    def _nothing_left_within(self, seconds: float) -> bool:
        with contextlib.suppress(TookTooLong):
            wait_for(lambda: not left_over(self.storage), "", seconds, 0.2)
            return True
        return False

    def close(self) -> None:
        """End the sweep's remaining processes."""
        for driver in self.drivers:
            driver.reap()
        kill_left_over(self.storage)


@dataclass(frozen=True)
class Fault:
    """A line of the table."""

    name: str
    do: Callable[[Case], None]
    alone: bool = False
    """Whether it must run alone, because it measures speed."""


def do(fault: Fault, bench: Bench) -> Case:
    """Inject one fault; never raises."""
    case = Case(fault.name, bench)
    began = time.monotonic()
    try:
        fault.do(case)
    except GivenUp:
        say(f"{fault.name}: given up after {HOPELESS} rounds that were not survived")
    except Exception as error:  # noqa: BLE001 - shown in the table
        case.note(type(error).__name__, error)
    case.seconds = time.monotonic() - began
    verdict = "ok" if case.passed else "FAILED"
    say(f"{fault.name}: {verdict}, {case.survived} of {case.injected} survived, {case.seconds:.0f} s")
    return case


def say(text: str) -> None:
    """Print a line of progress."""
    os.write(sys.stderr.fileno(), f"{time.strftime('%H:%M:%S')} {text}\n".encode())


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
