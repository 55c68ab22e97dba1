"""A sweep that is extended and killed, and a sweep that is run twice at the same time."""

import re
import signal
import socket

from tests.faults.bench import Case, Fault, Round
from tests.faults.driving import Driver, expect
from tests.faults.sweeps import RANDOM, SHORT_GRID, Sweep

MORE = 3
"""Trials added at a time."""


def _of(trials: int) -> Sweep:
    return RANDOM.but(search={"trials": trials})


def _after_the_end(case: Case) -> None:
    """Three trials, then three and three more, equal a sweep of nine trials."""
    with case.round(_of(MORE), reference=False) as round_:
        round_.run().end(0)
        total = MORE
        for _ in range(2):
            total += MORE
            round_.hit(f"extend to {total} trials")
            driver = round_.start("extend", round_.sweep.name, "--trials", f"+{MORE}")
            round_.recovers(driver.started, driver)
            driver.end(0)
            expect(len(round_.record().trials) == total, f"the sweep does not have {total} trials")
        round_.check(reference=case.bench.reference(_of(total)).record)


def _killed(case: Case) -> None:
    """Kill each extension at a random moment, each later than the one before; then extend or resume.

    The sweep is extended again if the extension was not recorded.
    """
    times = 5
    with case.round(_of(MORE + 1)) as round_:
        round_.run().end(0)
        total = MORE + 1
        longest = 0.7 * case.bench.lifetime(round_.sweep)
        while round_.injected < times:
            total += 1
            driver = round_.start("extend", round_.sweep.name, "--trials", str(total))
            if round_.injected:
                round_.recovers(driver.started, driver)
            if driver.ends_within(longest * (round_.injected + case.rng.random()) / times):
                driver.end(0)
            else:
                round_.hit("kill -9 of the extension")
                driver.signal_group(signal.SIGKILL)
                driver.ends_within(10)
        driver = round_.go_on()
        round_.recovers(driver.started, driver)
        driver.end(0)
        if len(round_.record().trials) < total:
            round_.start("extend", round_.sweep.name, "--trials", str(total)).end(0)
        round_.check(reference=case.bench.reference(_of(total)).record)


def _two_drivers(case: Case) -> None:
    """The second of two drivers is refused and told about the first; the sweep is not affected."""
    times = 6
    while case.injected < times:
        with case.round(SHORT_GRID) as round_:
            first = round_.run()
            while round_.injected < min(3, times - case.injected) and not first.ends_within(round_.moment(0.6)):
                first = challenge(round_, first)
            first.end(0)
            round_.check()


def challenge(round_: Round, first: Driver, *options: object) -> Driver:
    """Start another driver with these options; return the one that continues."""
    second = round_.go_on(*options)
    expect(first.ends_within(0) or second.ends_within(60) or first.ends_within(0), "two drivers run one sweep")
    if first.ends_within(0) and first.code == 0:
        return second  # the first had ended
    refused, going = (second, first) if second.ends_within(0) else (first, second)
    round_.hit(f"`{second}` beside `{first}`")
    said = refused.end(1)
    seen = re.search(r"is already running in process (\d+) on (\S+);", said)
    expect(seen is not None, f"the second driver does not name the running driver:\n{said}")
    assert seen is not None
    expect((int(seen[1]), seen[2]) == (going.pid, socket.gethostname()), f"it names a different driver: {said}")
    round_.case.recoveries.append((refused.ended or 0) - refused.started)
    return going


FAULTS = [
    Fault("extended after its end", _after_the_end),
    Fault("extension killed", _killed),
    Fault("two drivers at once", _two_drivers),
]
