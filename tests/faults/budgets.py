"""Budgets that are used up on the way, and enforced over all runs of a sweep."""

import functools
import re
import signal

from tests.faults.bench import Case, Fault, Round
from tests.faults.driving import END_S, Driver, expect
from tests.faults.sweeps import GRID, SHORT_GRID
from tune_jobs.ledger import Usage

OVERDRAWN_S = 40.0
"""Two trials may go on for an epoch each, two looks apart; on a machine that others use too."""

PLENTY = {"cpu_hours": 10, "wall_hours": 10, "trials": 1000}


def _budget(case: Case, field: str) -> None:
    """Use a budget up at a random point, and with a killed driver in between; then give it more."""
    sweep = SHORT_GRID if case.short else GRID
    share = 0.8
    usage = case.bench.reference(sweep).record.usage
    while not case.injected:
        limit = 1 if field == "trials" else round(_used(usage, field) * case.rng.uniform(0.1, share), 6)
        with case.round(sweep.but(budget={field: limit})) as round_:
            driver = round_.run()
            driver.ends_within(END_S)
            if driver.code == 0 and _used(round_.record().usage, field) < limit:
                share /= 2  # the machine is quicker than it was when the sweep was left alone
            else:
                _used_up(round_, driver, field, limit)
                _stays_used_up(round_, field)
                if field != "trials" and not case.short:
                    _counts_a_killed_drivers_time(round_, field, 0.5 * limit)
                driver = round_.go_on("--set", f"budget.{field}={PLENTY[field]}")
                round_.recovers(driver.started, driver)
            driver.end(0)
            round_.check()


def _counts_a_killed_drivers_time(round_: Round, field: str, more: float) -> None:
    limit = _used(round_.record().usage, field) + more
    driver = round_.go_on("--set", f"budget.{field}={limit:.6f}")
    driver.ends_within(round_.moment(0.7))
    driver.signal_group(signal.SIGKILL)
    driver.ends_within(10)
    driver = round_.go_on("--set", f"budget.{field}={limit:.6f}")  # it may have been killed before it noted the first
    driver.ends_within(END_S)
    if driver.code != 0:
        _used_up(round_, driver, field, limit)


def _used_up(round_: Round, driver: Driver, field: str, limit: float) -> None:
    said = driver.end(5)
    round_.hit(f"budget.{field} of {limit:.4f} is used up")
    way_out = rf"convnn resume {round_.sweep.name} --set budget\.{field}=\S+"
    expect(re.search(way_out, said), f"the way out is not said:\n{said[-1500:]}")
    usage = round_.record().usage
    used = _used(usage, field)
    expect(used >= limit, f"{used} of {limit} {field} is not used up")
    if field == "trials":
        expect(used == limit, f"{used} trials were started with a budget of {limit}")
    else:
        over = (used - limit) * 3600
        round_.case.note_longest("overdrawn by", over)
        expect(over <= OVERDRAWN_S, f"{over:.0f} s more than the budget were used")


def _stays_used_up(round_: Round, field: str) -> None:
    before = round_.record()
    driver = round_.go_on()
    said = driver.end(5)
    expect("starting Ray" not in said, "Ray was started though the budget is used up")
    after = round_.record()
    expect(after.attempts == before.attempts, f"an attempt was started though budget.{field} is used up")
    expect(after.recorded == before.recorded, f"an epoch was trained though budget.{field} is used up")


def _used(usage: Usage, field: str) -> float:
    return float(getattr(usage, field))


FAULTS = [
    Fault(f"budget.{field} used up", functools.partial(_budget, field=field))
    for field in ("cpu_hours", "wall_hours", "trials")
]
