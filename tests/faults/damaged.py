"""Checkpoints that are truncated, altered or emptied."""

import re
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.faults.bench import Case, Fault, Round
from tests.faults.drivers import kill_group
from tests.faults.driving import Driver, expect, wait_for
from tests.faults.sweeps import GRID
from tune_jobs.errors import LedgerError
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.rows import Attempt
from tune_jobs.worker.checkpoints import KEPT

Spoil = Callable[[Path, Random], None]


def _cut(path: Path, rng: Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


def _flip(path: Path, rng: Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def _zero(path: Path, rng: Random) -> None:
    content = bytearray(path.read_bytes())
    start = rng.randrange(len(content) - 4096)
    content[start : start + 4096] = bytes(b ^ 0x55 for b in content[start : start + 4096])
    path.write_bytes(content)


def _empty(path: Path, _rng: Random) -> None:
    path.write_bytes(b"")


KINDS: tuple[Spoil, ...] = (_cut, _flip, _zero, _empty)


def _last(case: Case) -> None:
    _damage(case, 1)


def _both(case: Case) -> None:
    _damage(case, KEPT)


def _damage(case: Case, newest: int) -> None:
    """Stop a sweep in the middle, damage the newest checkpoints of a running trial, and resume."""
    sweep = GRID.but(resources={"checkpoint_every_s": 0})
    for number in range(2):
        with case.round(sweep) as round_:
            key, kept = _stopped_in_the_middle(round_)
            spoil(kept[:newest], 2 * number + newest, case.rng)
            driver = round_.go_on()
            said = driver.end(0)
            round_.recovers(driver.started, driver, key)
            record = round_.check()
            expect_passed_over([a for a in record.attempts if a.run_key == key][-1], kept, newest, said)


def spoil(paths: list[Path], first: int, rng: Random) -> None:
    """Damage each in a different way, starting with `KINDS[first]`."""
    for place, path in enumerate(paths):
        KINDS[(first + place) % len(KINDS)](path, rng)


def expect_passed_over(after: Attempt, kept: list[Path], newest: int, said: str) -> None:
    """Check that the attempt resumed from the newest intact checkpoint, and names the damaged ones."""
    expected = _epoch(kept[newest]) if newest < len(kept) else 0
    expect(after.from_epoch == expected, f"it resumed after {after.from_epoch}, not after {expected}")
    for path in kept[:newest]:
        expect(after.note and str(path) in after.note, f"the note does not name {path}: {after.note}")
        expect(str(path) in said, f"the output does not name {path}:\n{said}")
    expect("skipped a damaged checkpoint" in said, f"the output does not say so:\n{said}")


def _stopped_in_the_middle(round_: Round) -> tuple[str, list[Path]]:
    """Kill the sweep once a running trial has two checkpoints; return the trial and its checkpoints, newest first."""
    driver = round_.run()
    while True:
        _wait_for_two(round_, driver)
        expect(not driver.ends_within(round_.case.rng.uniform(0, 1.5)), f"it ended too soon:\n{driver.output}")
        kill_group(round_, driver)
        round_.expect_nothing_left()
        if there := with_two(round_):
            return round_.case.rng.choice(there)
        round_.injected -= 1  # the trial ended at this moment
        driver = round_.go_on()


def _wait_for_two(round_: Round, driver: Driver) -> None:
    wait_for(lambda: with_two(round_) or driver.ends_within(0), "two checkpoints of a running trial", every_s=0.1)


def with_two(round_: Round) -> list[tuple[str, list[Path]]]:
    """Return the running trials that have two checkpoints."""
    try:
        trials = round_.record().trials.values()
    except LedgerError:  # missing, or being created
        return []
    folder = SweepFolder(round_.folder)
    running = [trial.run_key for trial in trials if trial.state == "running"]
    return [(key, kept) for key in running if len(kept := folder.checkpoints(key)) == KEPT]


def _epoch(path: Path) -> int:
    found = re.search(r"checkpoint-(\d+)\.pt$", path.name)
    assert found is not None
    return int(found[1])


FAULTS = [
    Fault("last checkpoint damaged", _last),
    Fault("both checkpoints damaged", _both),
]
