"""A search in which every proposal depends on every earlier value: killed, interrupted, paused, extended."""

import re
import signal
from collections.abc import Collection
from typing import ClassVar

from tests.faults import drivers
from tests.faults.bench import Bench
from tests.faults.budgets import (
    NOTHING,
    PLENTY,
    expect_counted,
    expect_not_overdrawn,
    expect_stays_used_up,
    expect_used_up,
    used,
)
from tests.faults.chain import Chain
from tests.faults.driving import Driver, expect
from tests.faults.growth import challenge
from tests.faults.oracle import Record
from tests.faults.sweeps import SEARCH, Sweep
from tune_jobs.record.rows import Usage

TRIALS: int = SEARCH.content["search"]["trials"]
MORE = 2
GROUP_KILLED = "driver's group kill -9"
EXTENSIONS = {"extension killed", "extended after its end"}

STARTING_S = 12.0
"""A driver killed within this time is usually still starting."""


class SearchChain(Chain):
    """TPE and ASHA, one trial at a time."""

    name = "search"
    sweep = SEARCH

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self._trials = TRIALS

    def references(self, wanted: Collection[str]) -> list[Sweep]:
        """Return the sweep that requests all its trials from the start."""
        return [self._of(TRIALS + MORE if EXTENSIONS & set(wanted) else TRIALS)]

    def reference(self) -> Record:
        """Return the sweep that requested all its trials from the start."""
        return self.bench.reference(self._of(self._trials)).record

    def _of(self, trials: int) -> Sweep:
        return self.sweep.but(search={"trials": trials})

    def killed_at_any_moment(self) -> None:
        """Usually before anything is trained."""
        driver = self.start()
        driver.ends_within(self.case.rng.uniform(0, STARTING_S))
        drivers.kill_group(self.round, driver)
        self.round.expect_nothing_left()

    def trials_used_up(self) -> None:
        """A budget of one trial."""
        driver = self.start("--set", "budget.trials=1")
        expect_used_up(self.round, driver, "trials", 1)
        expect(len(self.round.record().trials) == 1, "more or less than one trial was started")
        expect_stays_used_up(self.round, "trials")
        self._give_more("trials")

    def challenged(self) -> None:
        """A second driver starts while the first one is still starting."""
        options = self.options
        driver = self.running()
        driver.ends_within(self.case.rng.uniform(0, 2))
        self.driver = challenge(self.round, driver, *options)

    def killed(self) -> None:
        """Only the driver is killed; its time counts."""
        driver, before = self._in_training()
        drivers.kill(self.round, driver)
        expect_counted(self.round, driver, before, "wall_hours")
        self._give_more("wall_hours")

    def killed_with_its_group(self) -> None:
        """The driver and everything it has started is killed; its time counts."""
        driver, before = self._in_training()
        drivers.kill_group(self.round, driver)
        self.round.expect_nothing_left()
        expect_counted(self.round, driver, before, "cpu_hours")
        self._give_more("cpu_hours")

    def _in_training(self) -> tuple[Driver, Usage]:
        driver = self.running()
        before = self._usage()
        self.in_training(driver)
        return driver, before

    def interrupted(self) -> None:
        """As by Ctrl-C; only this makes trials save states."""
        driver = self.start("--set", "resources.checkpoint_every_s=3600")
        self.in_training(driver)
        drivers.interrupt(self.round, driver)
        self.round.expect_nothing_left()
        listed = self.round.start("list").end(0)
        expect(re.search(rf"{self.sweep.name} .*unfinished", listed), f"it is not listed as unfinished:\n{listed}")

    def terminated(self) -> None:
        """As by `convnn stop`."""
        driver = self.start("--set", "resources.checkpoint_every_s=3600")
        self.in_training(driver)
        drivers.stop(self.round, driver)

    def interrupted_twice(self) -> None:
        """As by an impatient user."""
        driver = self.start()
        self.in_training(driver)
        drivers.interrupt_twice(self.round, driver)

    def cpu_hours_used_up(self) -> None:
        """The budget is used up in the middle; then nothing is started."""
        self._hours_used_up("cpu_hours")
        if GROUP_KILLED not in self.wanted:  # which shows it, too
            expect_stays_used_up(self.round, "cpu_hours")

    def wall_hours_used_up(self) -> None:
        """The budget is used up in the middle."""
        self._hours_used_up("wall_hours")

    def _hours_used_up(self, field: str) -> None:
        before = self._usage()
        limit = round(used(before, field) + self.case.rng.uniform(4, 6) / 3600, 7)
        driver = self.start("--set", f"budget.{field}={limit}")
        expect_used_up(self.round, driver, field, limit)
        expect_not_overdrawn(self.round, driver, field, limit, before)
        self._give_more(field)

    def _usage(self) -> Usage:
        return self.round.record().usage if self.round.ledger.exists() else NOTHING

    def _give_more(self, field: str) -> None:
        self.options = (*self.options, "--set", f"budget.{field}={PLENTY[field]}")

    def extension_killed(self) -> None:
        """The extension had started when it was killed."""
        driver = self._extend()
        self.in_training(driver)
        self.round.hit("kill -9 of the extension")
        driver.signal_group(signal.SIGKILL)
        driver.ends_within(drivers.STOPS_AT_ONCE_S)

    def extended(self) -> None:
        """Some trials, and then some more, equal a sweep that requested all of them."""
        driver = self.start() if self._trials > TRIALS else self._extend()
        self.round.hit(f"extended to {self._trials} trials")
        driver.end(0)
        expect(len(self.round.record().trials) == self._trials, f"the sweep does not have {self._trials} trials")

    def _extend(self) -> Driver:
        """Extend the sweep after its end."""
        self.running().end(0)
        self._trials = TRIALS + MORE
        return self.command("extend", self.sweep.name, "--trials", f"+{MORE}")

    steps: ClassVar = {
        "TPE and ASHA, killed": killed_at_any_moment,
        "budget.trials used up": trials_used_up,
        "two drivers at once": challenged,
        "driver kill -9": killed,
        GROUP_KILLED: killed_with_its_group,
        "SIGINT": interrupted,
        "SIGTERM": terminated,
        "SIGINT twice": interrupted_twice,
        "budget.cpu_hours used up": cpu_hours_used_up,
        "budget.wall_hours used up": wall_hours_used_up,
        "extension killed": extension_killed,
        "extended after its end": extended,
    }
