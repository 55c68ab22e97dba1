"""Disks that fill up or are read-only, and a ledger whose writer is killed."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.faults import oracle
from tests.faults.bench import Case, Fault, Round
from tests.faults.disks import Disk, small_disk
from tests.faults.drivers import kill_group
from tests.faults.driving import OFFLINE, Driver, expect
from tests.faults.sweeps import GRID, SHORT_GRID

MB = 1 << 20
LARGE = 256 * MB
FILLED = 2
WRITERS, FEW_WRITERS = 30, 4


def _full(case: Case) -> None:
    """The disk fills up at a random moment; the sweep pauses, and resumes when space is free."""
    sweep = GRID.but(resources={"checkpoint_every_s": 0.2})
    while case.injected < FILLED:
        place = case.bench.scratch / f"disk-full-{case.bench.repeat}.{case.injected}.{time.monotonic_ns()}"
        with small_disk(place, LARGE) as disk, case.round(sweep, place / "storage") as round_:
            driver = round_.run()
            if not driver.ends_within(round_.moment(0.9)):
                disk.leave(case.rng.randrange(16 * 1024))
                round_.hit("the disk is full")
                said = pauses(driver)
                if said is not None:
                    expect_no_room_said(said)
                    if case.rng.random() < 0.5:  # an impatient user
                        again = pauses(round_.go_on())
                        expect(again is not None, "the sweep was resumed on a full disk")
                        expect_no_room_said(again or "")
                disk.resize(LARGE)
                driver = round_.go_on()
                round_.recovers(driver.started, driver)
            driver.end(0)
            round_.check()


def pauses(driver: Driver) -> str | None:
    """Return its output when it pauses; `None` if it ended without needing more space."""
    said = driver.end(0, 1)
    return said if driver.code == 1 else None


def expect_no_room_said(said: str) -> None:
    told = [line for line in said.splitlines() if re.search("free space|No space left", line)]
    expect(len(told) == 1, f"{len(told)} lines instead of one report the full disk:\n{said[-3000:]}")


def _guarded(case: Case) -> None:
    """Free space falls below resources.min_free_gb at a random moment."""
    sweep = GRID.but(resources={"min_free_gb": 0.1})
    while not case.injected:
        place = case.bench.scratch / f"guarded-{case.bench.repeat}.{case.injected}.{time.monotonic_ns()}"
        with small_disk(place, LARGE) as disk, case.round(sweep, place / "storage") as round_:
            ballast = place / "ballast"
            driver = round_.run()
            if not driver.ends_within(round_.moment(0.8)):
                fill_but_for(disk, ballast, case.rng.randrange(60 * MB, 90 * MB))
                moment = round_.hit("less room than resources.min_free_gb")
                said = pauses(driver)
                ballast.unlink()
                if said is None:
                    expect(_ended_before(round_, moment), "the limit was ignored")
                else:
                    expect_guard_said(round_, said)
                    driver = round_.go_on()
                    round_.recovers(driver.started, driver)
            driver.end(0)
            round_.check()


def fill_but_for(disk: Disk, ballast: Path, free: int) -> None:
    """Write a file that leaves `free` bytes of space."""
    found = os.statvfs(disk.path)
    ballast.write_bytes(bytes(found.f_bavail * found.f_frsize - free))


def expect_guard_said(round_: Round, said: str) -> None:
    """Check that the output says why the sweep pauses, and how to resume it."""
    expect("resources.min_free_gb is 0.1" in said, f"the limit is missing in the output:\n{said[-2000:]}")
    expect(f"convnn resume {round_.sweep.name}" in said, f"the way out is missing:\n{said[-2000:]}")


def _ended_before(round_: Round, moment: float) -> bool:
    """Whether the last epoch came within two checks of the disk."""
    return round_.record().recorded[-1][0] < moment + 5


def _read_only(case: Case) -> None:
    """The storage became read-only between two runs: commands can read it, but not run; after the fix, it resumes."""
    sweep = GRID
    while not case.injected:
        place = case.bench.scratch / f"read-only-{case.bench.repeat}.{case.injected}.{time.monotonic_ns()}"
        with small_disk(place, LARGE) as disk, case.round(sweep, place / "storage") as round_:
            driver = round_.run()
            if not driver.ends_within(round_.moment(0.9)) and round_.ledger.exists():
                kill_group(round_, driver)
                round_.expect_nothing_left()
                disk.protect(read_only=True)
                expect_read_only_said(round_)
                disk.protect(read_only=False)
                driver = round_.go_on()
                round_.recovers(driver.started, driver)
            driver.end(0)
            round_.check()


def expect_read_only_said(round_: Round) -> None:
    """Check that nothing runs, and that everything can be read."""
    for refused in (round_.go_on(), round_.start("run", round_.file, "--set", "name=another")):
        said = refused.end(1, 2)
        told = [line for line in said.splitlines() if re.search("cannot be written|[Rr]ead-only", line)]
        expect(len(told) == 1, f"{len(told)} lines instead of one report the problem:\n{said}")
    round_.start("list").end(0)
    if (round_.folder / "sweep.yaml").exists():
        round_.start("show", round_.sweep.name).end(0)


def _killed_writers(case: Case) -> None:
    """Nothing that a killed writer had acknowledged is missing, and the file is intact."""
    with case.round(SHORT_GRID, reference=False) as round_:
        path = round_.place / "ledger.db"
        acknowledged: set[tuple[int, int]] = set()
        for _ in range(WRITERS if case.bench.long else FEW_WRITERS):
            command = [sys.executable, "-m", "tests.faults.writer", str(path)]
            environment = {**os.environ, "PYTHONPATH": f"{OFFLINE}{os.pathsep}{OFFLINE.parents[1]}"}
            with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as writer:
                assert writer.stdout is not None
                first = writer.stdout.readline()
                time.sleep(case.rng.uniform(0, 0.3))
                writer.kill()
                lines = [first, *writer.stdout]
            round_.injected += 1
            acknowledged |= {(int(a), int(e)) for a, e in (line.split() for line in lines if line.endswith(b"\n"))}
            began = time.monotonic()
            broken = oracle.damage(path)
            expect(not broken, f"the ledger is damaged: {broken}")
            there = {(attempt, epoch) for _, _, attempt, epoch in oracle.read(path).recorded}
            round_.case.recoveries.append(time.monotonic() - began)
            round_.found.lost += [f"epoch {e} of attempt {a}, acknowledged" for a, e in sorted(acknowledged - there)]
        case.remarks.append(f"{len(acknowledged)} epochs acknowledged")


FAULTS = [
    Fault("disk full", _full),
    Fault("resources.min_free_gb", _guarded),
    Fault("storage read-only", _read_only),
    Fault("ledger's writer kill -9", _killed_writers),
]
