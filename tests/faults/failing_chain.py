"""Trials of one sweep that fail in every way; the consequences, and that `convnn retry` repeats exactly these."""

import re
from pathlib import Path
from typing import ClassVar

from search_spaces import TrialConfig
from tests.faults.bench import Bench
from tests.faults.chain import Chain
from tests.faults.driving import TookTooLong, expect, expect_in_time
from tests.faults.failing import HUGE, JUST_S, infeasible, write_images
from tests.faults.oracle import Record
from tests.faults.sweeps import GRID, SMALL, Sweep

USER, DATA = "user_error, then retry", "data gone, then retry"

TRIES = {"oom": 2, "diverged": 1, "user_error": 1, "data": 2, None: 1}
"""Attempts within one run, by the class of a trial's failure."""


def failing_in_every_way(images: Path) -> Sweep:
    """Two good trials on digits, two that diverge, one that is too large; then two good ones on other images."""
    digits, others = ({"name": "digits", "limit": 60}, {"name": "cifar10", "root": str(images), "limit": 100})
    return GRID.but(
        name="failing",
        space__data={"any_of": [digits, others]},
        space__model={"any_of": [{"name": "vgg11", **SMALL}, HUGE]},
        space__training={"optimizer": "sgd", "clip_norm": None, "weight_decay": 10.0, "epochs": 6},
        space__training__lr={"choice": [0.01, 10.0]},
        stopping={"max_failed_fraction": 1},
        constraints=["image_size * limit <= 40000", "image_size * lr <= 10", "lr * limit <= 700"],
    )


class FailingChain(Chain):
    """One run in which everything goes wrong, then a `retry` of diverged trials, and one of all others."""

    name = "failing"

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self._images = write_images(bench.scratch / "images")
        self.sweep = failing_in_every_way(self._images)
        self._classes: dict[str, str] = {}
        self._late: TookTooLong | None = None
        self._ran: Record | None = None
        self._before: Record | None = None
        self._again: Record | None = None

    def diverged(self) -> None:
        """Final; repeated only on request."""
        before, keys = self._failed("diverged")
        self.round.hit(f"{len(keys)} trials diverge")
        driver = self.command("retry", self.sweep.name, "--class", "diverged")
        driver.end(3)
        after = self.round.record()
        expect(after.tried_since(before) == keys, "other trials were repeated than those that diverged")
        self._expect_tries(after, keys, 2, "diverged")
        self._before = after

    def too_large(self) -> None:
        """Retried once more, alone and after all others; then failed, and the sampler avoids similar configurations."""
        record, keys = self._failed("oom")
        self.round.hit(f"{len(keys)} trial that no machine has the memory for")
        others = max(a.ended or 0.0 for a in record.attempts if a.run_key not in keys)
        for alone in (a for a in record.attempts if a.run_key in keys and a.attempt == TRIES["oom"]):
            begun = (alone.ended or 0.0) - alone.seconds
            expect(begun > others - JUST_S, "it was not retried alone after the others")
        expect(infeasible(self.round) == keys, "the sampler is not told that it cannot run")
        self._expect_tries(self._retry(), keys, 2 * TRIES["oom"], "oom")

    def user_error(self) -> None:
        """Final until the user has fixed it."""
        _, keys = self._failed("user_error")
        self.round.hit("a file is in the way of a trial's folder")
        self._expect_tries(self._retry(), keys, 2, None)

    def no_data(self) -> None:
        """Trials not started yet fail twice; after the fix, exactly these are repeated."""
        _, keys = self._failed("data")
        self.round.hit(f"the folder of images disappears, and {len(keys)} trials miss it")
        self._expect_tries(self._retry(), keys, 3, None)

    def _failed(self, failure: str) -> tuple[Record, set[str]]:
        """Return the ledger's content after everything has gone wrong, and the trials that failed with this class."""
        if self._late is not None:
            raise self._late
        if self._ran is None:
            try:
                self._ran = self._before = self._run()
            except TookTooLong as late:  # then all are late, and are repeated together
                self._late = late
                raise
        keys = {key for key, known in self._classes.items() if known == failure}
        expect(keys, f"no trial fails with {failure}")
        return self._ran, keys

    def _run(self) -> Record:
        """Let everything in `wanted` go wrong in one run, and then fix it."""
        trials = self.bench.reference(self.sweep).record.trials
        self._classes = {key: failure for key, trial in trials.items() if (failure := _by_itself(trial.config))}
        good = sorted(key for key, trial in trials.items() if trial.state == "complete" and _on_digits(trial.config))
        in_the_way, away = self.round.folder / "trials" / self.case.rng.choice(good), self._images.with_name("away")
        if USER in self.wanted:
            self._classes[in_the_way.name] = "user_error"
            in_the_way.parent.mkdir(parents=True)
            in_the_way.touch()
        # Missing images are downloaded, as documented; here, the network refuses that, as it should.
        self.round.environment["CONVNN_TEST_EXPECTS_OFFLINE"] = "1"
        driver = self.running()
        if DATA in self.wanted:
            self.wait_for(lambda: self.round.record().attempts or driver.ends_within(0), "the first trial is started")
            self._images.rename(away)
            self._classes |= {key: "data" for key, trial in trials.items() if not _on_digits(trial.config)}
        said = driver.end(3)
        if DATA in self.wanted:
            away.rename(self._images)
        if USER in self.wanted:
            in_the_way.unlink()
        return self._expect_failed(said)

    def _expect_failed(self, said: str) -> Record:
        """Check that each trial failed as expected, with the expected attempts, and that the output says so."""
        record = self.round.record()
        for key, trial in record.trials.items():
            failure = self._classes.get(key)
            self._expect_tries(record, {key}, TRIES[failure], failure)
            if failure not in (None, "diverged"):
                told = re.search(rf"^\d+ trials? failed \({failure}\): (?:\d+, )*{trial.number}\b", said, re.MULTILINE)
                expect(told is not None, f"{failure} is missing in the output:\n{said}")
        return record

    def _expect_tries(self, record: Record, keys: set[str], tries: int, failure: str | None) -> None:
        """Check the number of attempts of these trials, and that the last one ended with this failure, or well."""
        for key in keys:
            number = record.trials[key].number
            attempts = [attempt for attempt in record.attempts if attempt.run_key == key]
            in_time = failure == "data" and any(attempt.failure is None for attempt in attempts)
            expect_in_time(not in_time, f"trial {number} started before the images disappeared")
            expect(len(attempts) == tries, f"trial {number} has {len(attempts)} attempts, not {tries}")
            expect(attempts[-1].failure == failure, f"trial {number} failed with {attempts[-1].failure}, not {failure}")

    def _retry(self) -> Record:
        """Return the ledger's content after `retry --failed`, which leaves good and diverged trials alone."""
        if self._again is None:
            assert self._before is not None
            driver = self.command("retry", self.sweep.name, "--failed")
            driver.end(3)
            self._again = self.round.record()
            failed = {key for key, failure in self._classes.items() if failure != "diverged"}
            expect(self._again.tried_since(self._before) == failed, "other trials were repeated than those that failed")
        return self._again

    def end(self) -> None:
        """Do nothing: the sweep has ended."""
        if self._ran is None:
            super().end()

    steps: ClassVar = {
        "diverged, then retry": diverged,
        "oom, then retry": too_large,
        USER: user_error,
        DATA: no_data,
    }


def _by_itself(config: TrialConfig) -> str | None:
    """Return the class with which a trial always fails."""
    if config.model.name == "vit_tiny":
        return "oom"
    return "diverged" if config.training.lr > 1 else None


def _on_digits(config: TrialConfig) -> bool:
    return config.data.name == "digits"
