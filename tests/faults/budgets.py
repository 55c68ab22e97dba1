"""Budgets that are used up during a sweep, and enforced over all runs of a sweep.

The usage that the ledger records is compared, for each driver, with the times of its epochs and with its run time.
"""

import functools
import re
import signal
from itertools import pairwise

from tests.faults.bench import Case, Fault, Round
from tests.faults.driving import Driver, expect, wait_for
from tests.faults.oracle import Record
from tests.faults.sweeps import GRID
from tune_jobs.record.rows import Usage

LOOK_S = 2.0
"""Interval at which a driver records usage and checks it against the budget."""

LATE_S = 5.0
"""Time for a check and for saving a state, on a busy machine."""

ROUNDING_S = 0.5
"""Tolerance, since clocks are read one after the other."""

AT_ONCE = 2
SPARE = 0.6
"""Minimum part of the sweep that is left for a driver that is killed."""

TRIES = 5
PLENTY = {"cpu_hours": 10, "wall_hours": 10, "trials": 1000}
NOTHING = Usage(0.0, 0.0, 0.0, 0)

LONG = GRID.but(name="long", space__training__epochs=36, resources={"max_concurrent": AT_ONCE})
"""Long enough for a driver to check a few times, and then to be killed in the middle."""


def _time(case: Case, field: str) -> None:
    """Use a budget up at a random point, and another one by a killed driver; then raise it."""
    whole, share = used(case.bench.reference(LONG).record.usage, field), 1 - SPARE
    for _ in range(TRIES):
        if case.injected:
            break
        limit = round(whole * case.rng.uniform(0.1, share), 6)
        with case.round(LONG.but(budget={field: limit})) as round_:
            driver = round_.run()
            driver.end(0, 5)
            if driver.code == 0 and counted(round_, driver, NOTHING, field) < limit * 3600:
                share /= 2  # the machine is faster than for the undisturbed sweep
            else:
                expect_used_up(round_, driver, field, limit)
                expect_not_overdrawn(round_, driver, field, limit)
                expect_stays_used_up(round_, field)
                _counts_a_killed_drivers_time(round_, field)
                before = round_.record().usage
                driver = round_.go_on("--set", f"budget.{field}={PLENTY[field]}")
                round_.recovers(driver.started, driver)
                driver.end(0)
                counted(round_, driver, before, field)
            round_.check()


def _trials(case: Case) -> None:
    """Use the budget of one trial up; then raise it."""
    with case.round(GRID.but(budget={"trials": 1})) as round_:
        driver = round_.run()
        driver.end(5)
        expect_used_up(round_, driver, "trials", 1)
        expect(len(round_.record().trials) == 1, "more or less than one trial was started")
        expect_stays_used_up(round_, "trials")
        driver = round_.go_on("--set", f"budget.trials={PLENTY['trials']}")
        round_.recovers(driver.started, driver)
        driver.end(0)
        round_.check()


def expect_used_up(round_: Round, driver: Driver, field: str, limit: float) -> None:
    """Check that the driver ends because of the budget, and prints the way out."""
    said = driver.end(5)
    round_.hit(f"budget.{field} of {limit:.4f} is used up")
    way_out = rf"convnn resume {round_.sweep.name} --set budget\.{field}=\S+"
    expect(re.search(way_out, said), f"the way out is missing:\n{said[-1500:]}")
    spent = used(round_.record().usage, field)
    expect(spent >= limit, f"{spent} of {limit} {field} is not used up")


def expect_not_overdrawn(round_: Round, driver: Driver, field: str, limit: float, before: Usage = NOTHING) -> None:
    """Check that the overdraft is at most the running epoch of each trial since a check; `before` is earlier usage."""
    over = used(before, field) * 3600 + counted(round_, driver, before, field) - limit * 3600
    round_.case.note_longest("overdrawn by", over)
    most = _at_once(field) * (LOOK_S + _longest_epoch(round_.record()) + LATE_S)
    expect(over <= most, f"the budget was exceeded by {over:.1f} s, but at most {most:.1f} s are allowed")


def _longest_epoch(record: Record) -> float:
    """Return the seconds of the longest epoch; an attempt's first epoch includes everything before it."""
    times = {(attempt.run_key, attempt.attempt): [attempt.started] for attempt in record.attempts}
    for at, key, attempt, _ in record.recorded:
        times[key, attempt].append(at)
    return max((then - before for known in times.values() for before, then in pairwise(known)), default=0.0)


def expect_stays_used_up(round_: Round, field: str, *options: str) -> None:
    """Check that nothing is started."""
    before = round_.record()
    driver = round_.go_on(*options)
    said = driver.end(5)
    expect("starting Ray" not in said, "Ray was started though the budget is used up")
    after = round_.record()
    expect(_started(after) == _started(before), f"an attempt was started though budget.{field} is used up")
    expect(after.recorded == before.recorded, f"an epoch was trained though budget.{field} is used up")


def _started(record: Record) -> list[tuple[str, int]]:
    return [(attempt.run_key, attempt.attempt) for attempt in record.attempts]


def _counts_a_killed_drivers_time(round_: Round, field: str) -> None:
    before = round_.record()
    driver = round_.go_on("--set", f"budget.{field}={PLENTY[field]}")
    wait_for(lambda: round_.record().epochs_after(driver.started) or driver.ends_within(0), "an epoch")
    ended = driver.ends_within(round_.case.rng.uniform(3, 4) * LOOK_S)
    expect(not ended, "the sweep ended before its driver was killed")
    round_.hit("kill -9 of the group, whose time counts")
    driver.signal_group(signal.SIGKILL)
    driver.ends_within(LATE_S)
    expect_counted(round_, driver, before.usage, field)


def expect_counted(round_: Round, driver: Driver, before: Usage, field: str) -> None:
    """Check the counted time; it must also exceed a budget of half of it."""
    seconds = counted(round_, driver, before, field)
    expect(seconds > 0, "a killed driver's time is not counted")
    limit = used(before, field) + seconds / 2 / 3600
    expect_stays_used_up(round_, field, "--set", f"budget.{field}={limit:.7f}")


def counted(round_: Round, driver: Driver, before: Usage, field: str) -> float:
    """Return the seconds that the ledger counts for a driver, between its training time and its run time."""
    record = round_.record()
    seconds = (used(record.usage, field) - used(before, field)) * 3600
    least, most = _least(record, driver, field) - ROUNDING_S, _at_once(field) * driver.seconds + ROUNDING_S
    expect(least <= seconds <= most, f"{seconds:.1f} s of {field} are counted, not {least:.1f} to {most:.1f}")
    return seconds


def _least(record: Record, driver: Driver, field: str) -> float:
    """Return the seconds from the first to the last epoch of a driver or of each attempt; less if cut off."""
    spans: dict[tuple[str, int], tuple[float, float]] = {}
    for at, key, attempt, _ in record.recorded:
        if at > driver.started:
            spans[key, attempt] = spans.get((key, attempt), (at, at))[0], at
    assert driver.ended is not None
    cut = spans.keys() & record.running
    spans |= {key: (spans[key][0], driver.ended - 2 * LOOK_S) for key in cut}
    if field == "wall_hours" and spans:
        return max(end for _, end in spans.values()) - min(begun for begun, _ in spans.values())
    return sum(end - begun for begun, end in spans.values())


def _at_once(field: str) -> int:
    return AT_ONCE if field == "cpu_hours" else 1


def used(usage: Usage, field: str) -> float:
    """Return the usage of a budget, in the budget's unit."""
    return float(getattr(usage, field))


FAULTS = [
    Fault("budget.cpu_hours used up", functools.partial(_time, field="cpu_hours")),
    Fault("budget.wall_hours used up", functools.partial(_time, field="wall_hours")),
    Fault("budget.trials used up", _trials),
]
