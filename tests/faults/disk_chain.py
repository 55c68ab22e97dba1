"""Concurrent trials on a small disk: workers die and hang, checkpoints are damaged, the disk fills up."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from tests.faults import drivers, room
from tests.faults.bench import Bench, Case
from tests.faults.chain import Chain
from tests.faults.damaged import expect_passed_over, spoil, with_two
from tests.faults.disks import Disk, small_disk
from tests.faults.drivers import STOPS_AT_ONCE_S
from tests.faults.driving import Driver, Worker, expect, training
from tests.faults.sweeps import LONGER_GRID
from tests.faults.workers import expect_given_up, stop_one
from tune_jobs.record.rows import Attempt
from tune_jobs.worker.checkpoints import KEPT

LIMIT_S = 15.0
"""Tolerance over the longest time of a trial so far, and over its usual start-up time."""

GUARD = "resources.min_free_gb"


class DiskChain(Chain):
    """Two trials at a time."""

    name = "disk"
    sweep = LONGER_GRID
    disk: Disk

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self._limit = 0.0
        self._spoilt: dict[str, tuple[int, list[Path]]] = {}

    @contextlib.contextmanager
    def opened(self, first: Case, place: Path, _storage: Path | None = None) -> Iterator[None]:
        """Open it with the storage on the disk."""
        disk = place / "disk"
        with small_disk(disk, room.LARGE) as self.disk, super().opened(first, place, disk / "storage"):
            yield

    def read_only(self) -> None:
        """The storage is read-only between two runs; the first run was killed."""
        self._stop()
        self.disk.protect(read_only=True)
        self.round.hit("the storage is read-only")
        try:
            room.expect_read_only_said(self.round)
        finally:
            self.disk.protect(read_only=False)

    def last_damaged(self) -> None:
        """The newest of two checkpoints is damaged."""
        self._damage(1)

    def both_damaged(self) -> None:
        """Both checkpoints are damaged."""
        self._damage(KEPT)

    def _damage(self, newest: int) -> None:
        """Damage checkpoints of a trial that ran when the sweep was killed; it resumes from the rest."""
        there = [(key, kept) for key, kept in with_two(self.round) if key not in self._spoilt]
        if self._is_running() or not there:
            there = self._stop()
        key, kept = self.case.rng.choice(there)
        spoil(kept[:newest], newest, self.case.rng)
        self._spoilt[key] = newest, kept
        self.round.hit(f"the last {newest} of the checkpoints of {key}")
        if newest == KEPT or "both checkpoints damaged" not in self.wanted:
            self._go_on_from_damage()

    def _go_on_from_damage(self) -> None:
        before = self._latest()
        driver = self.running()

        def begun() -> bool:
            after = self._latest()
            there = [(after[key], before[key].attempt) for key in self._spoilt]
            return all(now.attempt > earlier and now.from_epoch is not None for now, earlier in there)

        self.wait_for(lambda: begun() or driver.ends_within(0), "the trials resume")
        for key, (newest, kept) in self._spoilt.items():
            expect_passed_over(self._latest()[key], kept, newest, driver.output)

    def _latest(self) -> dict[str, Attempt]:
        """Return each trial's last attempt."""
        return {attempt.run_key: attempt for attempt in self.round.record().attempts}

    def _stop(self) -> list[tuple[str, list[Path]]]:
        """Kill the sweep once two running trials have two checkpoints; return these."""
        driver = self.running("--set", "resources.checkpoint_every_s=0")
        self.wait_for(lambda: len(with_two(self.round)) == KEPT or driver.ends_within(0), "checkpoints of two trials")
        driver.signal_group(signal.SIGKILL)
        driver.ends_within(STOPS_AT_ONCE_S)
        self.round.expect_nothing_left()
        there = with_two(self.round)
        expect(there, "no trial was interrupted")
        return there

    def _is_running(self) -> bool:
        return self.driver is not None and not self.driver.ends_within(0)

    def worker_killed(self) -> None:
        """One of two workers is killed while training; its trial continues, and the other one is not disturbed."""
        driver = self.running()

        def trained() -> list[Worker]:
            record = self.round.record()
            done = {(key, attempt) for at, key, attempt, _ in record.recorded if at > driver.started}
            return [w for w in training(self.round.storage) if (w.run_key, w.attempt) in done & record.running]

        self.wait_for(trained, "a worker that has trained an epoch")
        worker = self.case.rng.choice(trained())
        moment = self.round.hit(f"kill -9 of the worker of {worker.run_key}")
        os.kill(worker.pid, signal.SIGKILL)
        self.round.recovers(moment, driver, worker.run_key)
        self.wait_for(lambda: self._is_lost(worker), "the attempt is lost")
        self.expect_said(driver, r"lost_worker, the worker process died.*; will be retried")

    def _is_lost(self, worker: Worker) -> bool:
        """Whether only that attempt has failed, and its trial has another attempt."""
        record = self.round.record()
        lost = {(a.run_key, a.attempt) for a in record.attempts if a.failure is not None}
        expect(lost <= {(worker.run_key, worker.attempt)}, f"other attempts have failed: {lost}")
        return bool(lost) and any(
            a.run_key == worker.run_key and a.attempt > (worker.attempt or 0) for a in record.attempts
        )

    def full(self) -> None:
        """The disk fills up during training."""
        driver = self.running()
        self.in_training(driver)
        self.disk.leave(self.case.rng.randrange(16 * 1024))
        self.round.hit("the disk is full")
        room.expect_no_room_said(driver.end(1))
        again = room.pauses(self.round.go_on())
        expect(again is not None, "the sweep was resumed on a full disk")
        room.expect_no_room_said(again or "")
        self.disk.resize(room.LARGE)

    def guarded(self) -> None:
        """A little space is left, but less than the limit."""
        driver = self.start("--set", f"{GUARD}=0.1")
        self.in_training(driver, epochs=1)
        ballast = self.disk.path / "ballast"
        room.fill_but_for(self.disk, ballast, self.case.rng.randrange(60 * room.MB, 90 * room.MB))
        self.round.hit(f"less room than {GUARD}")
        room.expect_guard_said(self.round, driver.end(1))
        ballast.unlink()
        self.options = (*self.options, "--set", f"{GUARD}=0")

    def hung_up(self) -> None:
        """The terminal is closed."""
        driver = self.running("--set", "resources.checkpoint_every_s=3600")
        self.in_training(driver, epochs=1)
        drivers.hang_up(self.round, driver)
        self.options = (*self.options, "--set", "resources.checkpoint_every_s=0.5")

    def terminated(self) -> None:
        """Every process is terminated, as by `scancel`."""
        driver = self.running()
        self.in_training(driver, epochs=1)
        drivers.terminate_all(self.round, driver)
        self.round.expect_nothing_left()

    def held(self) -> None:
        """The driver is paused for longer than a trial may take."""
        driver = self._with_limit()
        self.in_training(driver, epochs=1)
        drivers.hold(self.round, driver)

    def _with_limit(self) -> Driver:
        """Return a driver that ends trials which take too long; the running driver, if any, already does so."""
        if not self._is_running():
            self._limit = self._longest() + 2 * self._to_begin() + LIMIT_S
            self.start("--set", f"resources.max_trial_hours={self._limit / 3600:.7f}")
        assert self.driver is not None
        return self.driver

    def hung(self) -> None:
        """A worker hangs; it is ended at its time limit, and retried by the user."""
        driver = self._with_limit()
        hung: dict[str, float] = {}
        stop_one(self.round, driver, hung)
        driver.end(3)
        expect_given_up(self.round, driver, hung, 2 * self._limit)
        before = self.round.record()
        driver = self.command("retry", self.sweep.name, "--class", "time_limit")
        driver.end(0)
        again = self.round.record().tried_since(before)
        expect(again == hung.keys(), f"other trials were repeated: {again}")

    def _to_begin(self) -> float:
        """Return the longest time from the start of an attempt to its first epoch, in seconds."""
        record = self.round.record() if self.round.ledger.exists() else None
        first: dict[tuple[str, int], float] = {}
        for at, key, attempt, _ in record.recorded if record else ():
            first.setdefault((key, attempt), at)
        begun = {(a.run_key, a.attempt): a.started for a in record.attempts} if record else {}
        return max((at - begun[place] for place, at in first.items()), default=LIMIT_S)

    def _longest(self) -> float:
        """Return the seconds of the longest trial."""
        if not self.round.ledger.exists():
            return 0.0
        spent: dict[str, float] = {}
        for attempt in self.round.record().attempts:
            spent[attempt.run_key] = spent.get(attempt.run_key, 0.0) + attempt.seconds
        return max(spent.values(), default=0.0)

    steps: ClassVar = {
        "storage read-only": read_only,
        "last checkpoint damaged": last_damaged,
        "both checkpoints damaged": both_damaged,
        "worker kill -9": worker_killed,
        "disk full": full,
        "resources.min_free_gb": guarded,
        "SIGHUP": hung_up,
        "SIGTERM of every process": terminated,
        "driver held, then continued": held,
        "worker SIGSTOP, time limit": hung,
    }
