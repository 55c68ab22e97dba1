"""Workers that are killed, and workers that hang."""

import os
import signal

from tests.faults.bench import Case, Fault, Round
from tests.faults.driving import Driver, Worker, expect, expect_in_time, training, wait_for, workers
from tests.faults.oracle import Record
from tests.faults.sweeps import GRID

LIMIT_S = 20.0
"""Time limit of a trial; an undisturbed trial takes a fifth of it."""

AT_ONCE = 2
"""Concurrent trials."""

HANG = 3
"""Number of the sweep's four trials that hang."""

TIMES, PER_SWEEP = 5, 2
"""Number of killed workers: in total, and per sweep."""


def _kills(case: Case) -> None:
    """At least one of the killed workers is training."""
    lost = 0
    while case.injected < TIMES or not lost:
        with case.round(GRID) as round_:
            driver = round_.run()
            trained: set[tuple[str, int]] = set()
            for _ in range(max(1, min(PER_SWEEP, TIMES - case.injected))):
                trained |= _kill_one(round_, driver)
            driver.end(0)
            lost += _count_lost(round_, round_.check(), trained)
            round_.expect_nothing_left()


def _kill_one(round_: Round, driver: Driver) -> set[tuple[str, int]]:
    """Kill any worker at a random moment after the first has started; return the attempt that it was training."""
    wait_for(lambda: workers(round_.storage) or driver.ends_within(0), "a worker")
    if driver.ends_within(round_.moment(0.5)):
        return set()
    there = wait_for(lambda: workers(round_.storage) or [_NOBODY] * driver.ends_within(0), "a worker")
    worker = round_.case.rng.choice(there)
    if worker is _NOBODY:
        return set()
    running = round_.record().running
    moment = round_.hit(f"kill -9 of the worker of {worker.run_key or 'no trial yet'}")
    os.kill(worker.pid, signal.SIGKILL)
    round_.recovers(moment, driver, worker.run_key)
    return {(key, attempt) for key, attempt in running if (key, attempt) == (worker.run_key, worker.attempt)}


_NOBODY = Worker(0, 0, None, None)


def _count_lost(round_: Round, record: Record, trained: set[tuple[str, int]]) -> int:
    """Count the lost attempts: those killed during training, and no more than the number of kills."""
    early = [attempt for attempt in record.attempts if attempt.state != "complete"]
    lost = [attempt for attempt in early if attempt.failure == "lost_worker"]
    unstarted = [a for a in early if a.failure is None and a.reason == "the worker process did not start"]
    expect(len(early) == len(lost) + len(unstarted), f"attempts ended for other reasons than a lost worker: {early}")
    expect(len(early) <= round_.injected, f"{round_.injected} kills, but {len(early)} attempts ended early")
    known = {(a.run_key, a.attempt) for a in record.attempts if a in lost or a.state == "complete"}
    expect(trained <= known, f"killed during training, but not recorded as lost: {trained - known}")
    return len(lost)


def _hangs(case: Case) -> None:
    """All running trials hang, then one that follows; they are ended at their time limit, and retried by the user."""
    sweep = GRID.but(name="hangs", resources={"max_concurrent": AT_ONCE, "max_trial_hours": LIMIT_S / 3600})
    while case.injected < TIMES:
        with case.round(sweep) as round_:
            driver = round_.run()
            hung: dict[str, float] = {}
            for _ in range(min(HANG, TIMES - case.injected)):
                stop_one(round_, driver, hung)
            driver.end(3 if hung else 0)
            if hung:
                expect_given_up(round_, driver, hung, 2 * LIMIT_S)
                expect(round_.record().failures() == {"time_limit": len(hung)}, "there are other failures")
                round_.check(states=dict.fromkeys(hung, "failed"))
                driver = round_.start("retry", sweep.name, "--class", "time_limit")
                driver.end(0)
            record = round_.check()
            expect(len(record.attempts) == len(record.trials) + len(hung), "other trials were repeated")
            round_.expect_nothing_left()


def stop_one(round_: Round, driver: Driver, hung: dict[str, float]) -> None:
    """Pause a training worker at a random moment; record when, by its trial."""

    def there() -> list[Worker]:
        found = [worker for worker in training(round_.storage) if worker.run_key not in hung]
        running = round_.record().running if found else ()  # not attempts left by an earlier driver
        return [worker for worker in found if (worker.run_key, worker.attempt) in running]

    wait_for(lambda: there() or driver.ends_within(0), "a training worker")
    driver.ends_within(round_.case.rng.uniform(0, 1))
    for worker in sorted(there(), key=lambda _: round_.case.rng.random())[:1]:
        assert worker.run_key is not None
        hung[worker.run_key] = round_.hit(f"SIGSTOP of the worker of {worker.run_key}")
        os.kill(worker.pid, signal.SIGSTOP)


def expect_given_up(round_: Round, driver: Driver, hung: dict[str, float], within_s: float) -> None:
    """Check that only these trials are ended in time, and that the output says how to retry."""
    expect(f"convnn retry {round_.sweep.name} --failed" in driver.output, f"the way out is missing:\n{driver.output}")
    late = [attempt for attempt in round_.record().attempts if attempt.failure == "time_limit"]
    given_up = sorted(attempt.run_key for attempt in late)
    expect_in_time(not set(given_up) - hung.keys(), f"others took too long, too: {given_up}")
    expect(given_up == sorted(hung), f"others were given up: {given_up}")
    for failed in late:
        took = (failed.ended or 0.0) - hung[failed.run_key]
        expect_in_time(0 < took < within_s, f"it was given up after {took:.1f} s")
        round_.case.recoveries.append(took)


FAULTS = [
    Fault("worker kill -9", _kills),
    Fault("worker SIGSTOP, time limit", _hangs),
]
