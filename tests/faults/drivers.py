"""Drivers killed and interrupted, at any moment from the command to the end of the sweep."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

from tests.faults import oracle
from tests.faults.bench import Case, Fault, Round
from tests.faults.driving import Driver, expect, expect_in_time, marked, training, wait_for
from tests.faults.sweeps import GRID, Sweep
from tune_jobs.executors.clock import PAUSE_S

TIMES = 5
"""How often each of these is done."""

PER_SWEEP = 5
"""Number of faults per sweep before it is compared."""

UNKEPT = {"checkpoint_every_s": 3600}
"""Checkpoints are so rare that only a signal makes the trials of such a sweep save a state."""

STOPS_S = 60.0
"""A driver with short epochs ends within this time after a signal."""

ALL_STOP_S = 20.0
"""It ends within this time if Ray's own processes are terminated with it: the raylet needs more than 10 s to end."""

HELD_S = PAUSE_S + 5.0
"""How long a driver is paused."""

STOPS_AT_ONCE_S = 10.0
"""It ends within this time after a second signal."""

Strike = Callable[[Round, Driver], None]


def repeatedly(
    case: Case,
    sweep: Sweep,
    times: int,
    strike: Strike,
    *options: object,
    per_sweep: int = PER_SWEEP,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Inject the fault at random moments, resuming immediately each time, until the sweep ends; then compare."""
    rounds = 0
    while case.injected < times:
        rounds += 1
        expect(rounds <= 2 * times, f"{sweep.name} ends before the fault")
        with case.round(sweep) as round_:
            round_.environment |= environment
            most = min(per_sweep, times - case.injected)
            driver = round_.run(*options)
            while round_.injected < most and not driver.ends_within(round_.moment()):
                strike(round_, driver)
                driver = round_.go_on(*options)
                round_.recovers(driver.started, driver)
            driver.end(0)
            if not round_.injected:
                case.bench.took(sweep, driver.seconds)
            round_.check()
            round_.expect_nothing_left()


def kill(round_: Round, driver: Driver) -> None:
    """Kill only the driver."""
    round_.hit(f"kill -9 of the driver after {_age(driver)}")
    driver.signal(signal.SIGKILL)
    driver.ends_within(STOPS_AT_ONCE_S)


def kill_group(round_: Round, driver: Driver) -> None:
    """Kill the driver and everything that it has started."""
    round_.hit(f"kill -9 of the group after {_age(driver)}")
    driver.signal_group(signal.SIGKILL)
    driver.ends_within(STOPS_AT_ONCE_S)


def interrupt(round_: Round, driver: Driver) -> None:
    """Interrupt as Ctrl-C does."""
    round_.hit(f"SIGINT after {_age(driver)}")
    driver.signal_group(signal.SIGINT)
    _ends_in_order(round_, driver, signal.SIGINT)


def terminate(round_: Round, driver: Driver) -> None:
    """Terminate as `kill` does."""
    round_.hit(f"SIGTERM after {_age(driver)}")
    driver.signal(signal.SIGTERM)
    _ends_in_order(round_, driver, signal.SIGTERM)


def hang_up(round_: Round, driver: Driver) -> None:
    """Hang up, as a closed terminal and a lost connection do."""
    round_.hit(f"SIGHUP after {_age(driver)}")
    driver.signal(signal.SIGHUP)
    _ends_in_order(round_, driver, signal.SIGHUP)


def hold(round_: Round, driver: Driver) -> None:
    """Press Ctrl-Z, and later `fg`, after longer than a trial may take."""
    failed = round_.record().failures()
    round_.hit(f"stopped after {_age(driver)}, for {HELD_S:g} s")
    driver.signal(signal.SIGSTOP)
    time.sleep(HELD_S)
    driver.signal(signal.SIGCONT)
    again = time.time()
    wait_for(lambda: round_.record().epochs_after(again) or driver.ends_within(0), "an epoch")
    expect(round_.record().failures() == failed, f"attempts failed: {round_.record().failures()}")


def terminate_all(round_: Round, driver: Driver) -> None:
    """Terminate every process of the run, whatever its group, as `scancel`, `timeout` and systemd do."""
    round_.hit(f"SIGTERM of every process after {_age(driver)}")
    sent = time.monotonic()
    for pid in marked(round_.storage):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    late = f"`{driver}` still runs {ALL_STOP_S:g} s after a SIGTERM of every process; it said:\n{driver.output[-2000:]}"
    expect_in_time(driver.ends_within(ALL_STOP_S), late)
    round_.case.note_longest("ended after", time.monotonic() - sent)
    if not _says_how_to_go_on(round_, driver, signal.SIGTERM):
        return
    unended = [f"attempt {a.attempt} of {a.run_key}" for a in round_.record().attempts if a.state == "running"]
    unended += oracle.open_runs(round_.tracker, round_.sweep.name)
    expect(not unended, f"these are still recorded as running: {', '.join(unended)}")


def interrupt_twice(round_: Round, driver: Driver) -> None:
    """Interrupt twice, as an impatient user does."""
    pause = round_.case.rng.uniform(0.2, 1.0)
    round_.hit(f"SIGINT after {_age(driver)}, and again {pause:.1f} s later")
    driver.signal_group(signal.SIGINT)
    driver.ends_within(pause)
    second = time.monotonic()
    driver.signal_group(signal.SIGINT)
    late = f"`{driver}` still runs {STOPS_AT_ONCE_S:g} s after a second SIGINT"
    expect_in_time(driver.ends_within(STOPS_AT_ONCE_S), late)
    took = time.monotonic() - second
    round_.case.note_longest("ended after", took)
    _says_how_to_go_on(round_, driver, signal.SIGINT)


def stop(round_: Round, driver: Driver) -> None:
    """Run `convnn stop`, which ends when the driver has ended."""
    round_.hit(f"SIGTERM after {_age(driver)}, by `convnn stop`")
    said = round_.start("stop", round_.sweep.name).end(0)
    expect(f"convnn resume {round_.sweep.name}" in said, f"`convnn stop` does not say how to resume:\n{said}")
    _ends_in_order(round_, driver, signal.SIGTERM)


def _ends_in_order(round_: Round, driver: Driver, number: signal.Signals) -> None:
    sent = time.monotonic()
    expect_in_time(driver.ends_within(STOPS_S), f"`{driver}` still runs {STOPS_S:g} s after {number.name}")
    round_.case.note_longest("ended after", time.monotonic() - sent)
    if _says_how_to_go_on(round_, driver, number):
        _keeps_states(round_)


def _says_how_to_go_on(round_: Round, driver: Driver, number: signal.Signals) -> bool:
    """Whether the sweep was running; then check the exit code, 128 plus the signal, and the message how to resume."""
    said, code = driver.output, driver.code
    expect("Traceback" not in said, f"{number.name} caused a traceback:\n{said[-3000:]}")
    if f"sweep {round_.sweep.name} in " not in said:  # Python was still starting, and had no handler
        expect(code in (128 + number, -number), f"{number.name} at the start ended with {code}:\n{said[-2000:]}")
        return False
    if "\nNext:\n" in said and f"convnn resume {round_.sweep.name}" not in said:  # it had ended already
        expect(code in (0, 128 + number, -number), f"{number.name} at the end ended with {code}:\n{said[-2000:]}")
        return False
    expect(code == 128 + number, f"{number.name} ended with {code}, not with {128 + number}:\n{said[-2000:]}")
    expect(f"convnn resume {round_.sweep.name}" in said, f"{number.name} does not say how to resume:\n{said[-2000:]}")
    return True


def _keeps_states(round_: Round) -> None:
    """Check that every attempt stopped after an epoch has saved the state after its last epoch."""
    done: dict[tuple[str, int], int] = {}
    record = round_.record()
    for _, key, attempt, epoch in record.recorded:
        done[key, attempt] = epoch
    latest = {attempt.run_key: attempt for attempt in record.attempts}
    for key, last in latest.items():
        reached = done.get((key, last.attempt))
        if last.state == "interrupted" and reached is not None:
            kept = round_.folder / "trials" / key / str(last.attempt) / f"checkpoint-{reached:06d}.pt"
            expect(kept.exists(), f"{kept} was not saved; the attempt ended: {last.reason}")


def _age(driver: Driver) -> str:
    return f"{time.time() - driver.started:.1f} s"


def _kills(case: Case) -> None:
    repeatedly(case, GRID, TIMES, kill)


def _kills_of_the_group(case: Case) -> None:
    repeatedly(case, GRID, TIMES, kill_group)


def _interrupts(case: Case) -> None:
    repeatedly(case, GRID.but(resources=UNKEPT), TIMES, interrupt)


def _terminations(case: Case) -> None:
    repeatedly(case, GRID.but(resources=UNKEPT), TIMES, terminate)


def _double_interrupts(case: Case) -> None:
    repeatedly(case, GRID, TIMES, interrupt_twice)


def _hang_ups(case: Case) -> None:
    repeatedly(case, GRID.but(resources=UNKEPT), TIMES, hang_up)


def _terminations_of_all(case: Case) -> None:
    repeatedly(case, GRID, TIMES, terminate_all)


def _holds(case: Case) -> None:
    """A trial's time limit is a little shorter than the pause of its driver."""
    sweep = GRID.but(name="held", resources={"max_trial_hours": HELD_S / 3600})
    with case.round(sweep, reference=False) as round_:
        driver = round_.run()
        wait_for(lambda: training(round_.storage) or driver.ends_within(0), "it trains")
        hold(round_, driver)
        driver.end(0)
        round_.check(reference=case.bench.reference(GRID).record)


FAULTS = [
    Fault("driver kill -9", _kills),
    Fault("driver's group kill -9", _kills_of_the_group),
    Fault("SIGINT", _interrupts),
    Fault("SIGTERM", _terminations),
    Fault("SIGINT twice", _double_interrupts),
    Fault("SIGHUP", _hang_ups),
    Fault("SIGTERM of every process", _terminations_of_all),
    Fault("driver held, then continued", _holds),
]
