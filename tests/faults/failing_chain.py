"""Trials of one sweep that fail in every way; what follows each, and that `convnn retry` runs exactly those again."""

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
"""Attempts of one run, by the class of a trial's failure."""


def failing_in_every_way(images: Path) -> Sweep:
    """On digits two good trials, two that diverge, one that is too large; then two good ones on other images."""
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
    """One run in which all of it goes wrong, then a `retry` of what diverged, and one of all else."""

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
        """Final; run again only where asked for."""
        before, keys = self._failed("diverged")
        self.round.hit(f"{len(keys)} trials diverge")
        driver = self.command("retry", self.sweep.name, "--class", "diverged")
        driver.end(3)
        after = self.round.record()
        expect(after.tried_since(before) == keys, "others were run again than those that diverged")
        self._expect_tries(after, keys, 2, "diverged")
        self._before = after

    def too_large(self) -> None:
        """Tried once more alone, after all others; then failed, and the sampler keeps away from its like."""
        record, keys = self._failed("oom")
        self.round.hit(f"{len(keys)} trial that no machine has the memory for")
        others = max(a.ended or 0.0 for a in record.attempts if a.run_key not in keys)
        for alone in (a for a in record.attempts if a.run_key in keys and a.attempt == TRIES["oom"]):
            begun = (alone.ended or 0.0) - alone.seconds
            expect(begun > others - JUST_S, "it was not tried again after the others, alone")
        expect(infeasible(self.round) == keys, "the sampler is not told that it cannot run")
        self._expect_tries(self._retry(), keys, 2 * TRIES["oom"], "oom")

    def user_error(self) -> None:
        """Final, until a person has mended it."""
        _, keys = self._failed("user_error")
        self.round.hit("a file is in the way of a trial's folder")
        self._expect_tries(self._retry(), keys, 2, None)

    def no_data(self) -> None:
        """What has not started fails twice; mended, exactly that is run again."""
        _, keys = self._failed("data")
        self.round.hit(f"the folder of images is gone, and {len(keys)} trials miss it")
        self._expect_tries(self._retry(), keys, 3, None)

    def _failed(self, failure: str) -> tuple[Record, set[str]]:
        """What the ledger has after everything has gone wrong, and the trials that failed so."""
        if self._late is not None:
            raise self._late
        if self._ran is None:
            try:
                self._ran = self._before = self._run()
            except TookTooLong as late:  # so are all, which are done again together
                self._late = late
                raise
        keys = {key for key, known in self._classes.items() if known == failure}
        expect(keys, f"no trial fails by {failure}")
        return self._ran, keys

    def _run(self) -> Record:
        """Everything that is wanted goes wrong at once, and is then mended."""
        trials = self.bench.reference(self.sweep).record.trials
        self._classes = {key: failure for key, trial in trials.items() if (failure := _by_itself(trial.config))}
        good = sorted(key for key, trial in trials.items() if trial.state == "complete" and _on_digits(trial.config))
        in_the_way, away = self.round.folder / "trials" / self.case.rng.choice(good), self._images.with_name("away")
        if USER in self.wanted:
            self._classes[in_the_way.name] = "user_error"
            in_the_way.parent.mkdir(parents=True)
            in_the_way.touch()
        # What is not there is downloaded, as people are told; that is refused, as it should be.
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
        """Each failed as it should, and so often; all is said."""
        record = self.round.record()
        for key, trial in record.trials.items():
            failure = self._classes.get(key)
            self._expect_tries(record, {key}, TRIES[failure], failure)
            if failure not in (None, "diverged"):
                told = re.search(rf"^\d+ trials? failed \({failure}\): (?:\d+, )*{trial.number}\b", said, re.MULTILINE)
                expect(told is not None, f"{failure} is not said:\n{said}")
        return record

    def _expect_tries(self, record: Record, keys: set[str], tries: int, failure: str | None) -> None:
        """These have so many attempts, the last of which ended by a failure, or well."""
        for key in keys:
            number = record.trials[key].number
            attempts = [attempt for attempt in record.attempts if attempt.run_key == key]
            in_time = failure == "data" and any(attempt.failure is None for attempt in attempts)
            expect_in_time(not in_time, f"trial {number} began before the images were gone")
            expect(len(attempts) == tries, f"trial {number} has {len(attempts)} attempts and not {tries}")
            expect(attempts[-1].failure == failure, f"trial {number} failed by {attempts[-1].failure}, not {failure}")

    def _retry(self) -> Record:
        """What the ledger has after `retry --failed`, which leaves alone what is good and what diverged."""
        if self._again is None:
            assert self._before is not None
            driver = self.command("retry", self.sweep.name, "--failed")
            driver.end(3)
            self._again = self.round.record()
            failed = {key for key, failure in self._classes.items() if failure != "diverged"}
            expect(self._again.tried_since(self._before) == failed, "others were run again than those that failed")
        return self._again

    def end(self) -> None:
        """It has ended."""
        if self._ran is None:
            super().end()

    steps: ClassVar = {
        "diverged, then retry": diverged,
        "oom, then retry": too_large,
        USER: user_error,
        DATA: no_data,
    }


def _by_itself(config: TrialConfig) -> str | None:
    """The class by which a trial fails whatever happens."""
    if config.model.name == "vit_tiny":
        return "oom"
    return "diverged" if config.training.lr > 1 else None


def _on_digits(config: TrialConfig) -> bool:
    return config.data.name == "digits"
