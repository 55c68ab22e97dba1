import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from search_spaces import Decided, parse_sweep
from search_spaces.settings import Resources
from tests.tune_jobs.driver.by_hand import SPEC
from tune_jobs.driver.retention import Retention
from tune_jobs.events import Ended, EpochEnded, Job, Released
from tune_jobs.record.folder import SweepFolder, checkpoint_path
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import State

KEEP_ONE = replace(SPEC, resources=Resources(keep_best=1))
CONFIG = SPEC.space.resolve(Decided(next(SPEC.space.points())))


class Kept:
    """A sweep folder with checkpoints of three trials."""

    def __init__(self, folder: SweepFolder, ledger: Ledger) -> None:
        self.folder = folder
        self.ledger = ledger
        self.retention = Retention(folder, ledger, KEEP_ONE)
        self.jobs = [Job(key, 1, number, CONFIG) for number, key in enumerate("abc", 1)]
        for job in self.jobs:
            ledger.add_trial({}, CONFIG, job.run_key)
            ledger.start_attempt(job.run_key)
            place = folder.attempt(job.run_key, 1)
            place.mkdir(parents=True)
            for epoch in (2, 3):
                checkpoint_path(place, epoch).touch()

    def ends(self, number: int, state: str, value: float = 0.5) -> None:
        job = self.jobs[number - 1]
        self.ledger.add_epoch(job.run_key, 1, 3, {"val/accuracy": value})
        self.ledger.end_attempt(job.run_key, 1, state)  # type: ignore[arg-type]
        for event in (
            EpochEnded(job, 3, {"val/accuracy": value}),
            Ended(job, state),  # type: ignore[arg-type]
            Released(job, state),  # type: ignore[arg-type]
        ):
            self.retention.take(event)

    @property
    def checkpoints(self) -> dict[str, int]:
        """The number of checkpoints of each trial."""
        return {job.run_key: len(self.folder.checkpoints(job.run_key)) for job in self.jobs}


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    with contextlib.closing(Ledger(tmp_path / "ledger.db", create=True)) as ledger:
        yield Kept(SweepFolder(tmp_path), ledger)


def test_the_last_checkpoint_of_the_best_complete_trial_is_kept(kept: Kept) -> None:
    kept.ends(1, "complete", 0.5)
    assert kept.checkpoints == {"a": 1, "b": 2, "c": 2}
    kept.ends(2, "complete", 0.7)
    assert kept.checkpoints == {"a": 0, "b": 1, "c": 2}
    kept.ends(3, "complete", 0.6)
    assert kept.checkpoints == {"a": 0, "b": 1, "c": 0}


def test_only_failed_trials_keep_their_checkpoints_for_a_retry(kept: Kept) -> None:
    kept.ends(1, "stopped")
    kept.ends(2, "diverged")
    kept.ends(3, "failed")
    assert kept.checkpoints == {"a": 0, "b": 0, "c": 2}


def test_a_later_run_removes_the_files_that_a_killed_run_left(kept: Kept) -> None:
    for number, value in ((1, 0.5), (2, 0.7)):
        job = kept.jobs[number - 1]
        kept.ledger.add_epoch(job.run_key, 1, 3, {"val/accuracy": value})
        kept.ledger.end_attempt(job.run_key, 1, "complete")
    (kept.folder.attempt("c", 1) / ".checkpoint-000004.pt.partial").touch()
    Retention(kept.folder, kept.ledger, KEEP_ONE).tidy()
    assert {"a": 0, "c": 2}.items() <= kept.checkpoints.items()
    assert kept.checkpoints["b"] >= 1
    assert not list(kept.folder.path.rglob("*.partial"))


def test_an_excluded_trial_is_not_among_the_best_and_keeps_its_checkpoints(kept: Kept) -> None:
    for number, value in ((1, 0.5), (2, 0.7)):
        job = kept.jobs[number - 1]
        kept.ledger.add_epoch(job.run_key, 1, 3, {"val/accuracy": value})
        kept.ledger.end_attempt(job.run_key, 1, "complete")
    kept.ledger.add_request("b", "exclude", "wrong images")
    Retention(kept.folder, kept.ledger, KEEP_ONE).tidy()
    assert kept.checkpoints["b"] == 2
    assert kept.checkpoints["a"] >= 1


class Seeds:
    """A sweep with two seeds of each configuration, in which the best configuration keeps a checkpoint."""

    def __init__(self, folder: SweepFolder, ledger: Ledger) -> None:
        self.folder, self.ledger = folder, ledger
        self.retention = self.new()

    def new(self) -> Retention:
        return Retention(self.folder, self.ledger, parse_sweep(SPEC.text, overrides=["search.repeats=2"]))

    def ends(self, key: str, value: float, state: State = "complete") -> None:
        """End the first seed of a configuration, or with a key such as `a2` its second."""
        first = key[0] if len(key) > 1 else None
        training = CONFIG.training.model_copy(update={"seed": int(first is not None)})
        config = CONFIG.model_copy(update={"training": training})
        if first is None:
            self.ledger.add_trial({}, config, key)
        else:
            self.ledger.add_unasked(config, key, repeat_of=first)
        job = Job(key, self.ledger.start_attempt(key), len(self.ledger.trials()), config, repeat_of=first)
        place = self.folder.attempt(key, 1)
        place.mkdir(parents=True)
        checkpoint_path(place, 3).touch()
        self.ledger.add_epoch(key, 1, 3, {"val/accuracy": value})
        self.ledger.end_attempt(key, 1, state)
        for event in (EpochEnded(job, 3, {"val/accuracy": value}), Ended(job, state), Released(job, state)):
            self.retention.take(event)

    @property
    def kept(self) -> set[str]:
        """The trials that have a checkpoint; a later run must not change them."""
        found = {trial.run_key for trial in self.ledger.trials() if self.folder.checkpoints(trial.run_key)}
        self.ledger.meta.repeats = 2
        self.retention = self.new()
        self.retention.tidy()
        assert found == {trial.run_key for trial in self.ledger.trials() if self.folder.checkpoints(trial.run_key)}
        return found


def test_with_several_seeds_the_best_mean_and_unfinished_configurations_keep_a_checkpoint(tmp_path: Path) -> None:
    with contextlib.closing(Ledger(tmp_path / "ledger.db", create=True)) as ledger:
        seeds = Seeds(SweepFolder(tmp_path), ledger)
        seeds.ends("a", 0.5)
        seeds.ends("a2", 0.6)
        assert seeds.kept == {"a2"}
        seeds.ends("b", 0.9)
        assert seeds.kept == {"a2", "b"}  # b may become the best
        seeds.ends("b2", 0.1)
        assert seeds.kept == {"a2"}
        seeds.ends("c", 0.7)
        seeds.ends("c2", 0.5, "diverged")
        assert seeds.kept == {"a2"}
        seeds.ends("d", 0.7)
        seeds.ends("d2", 0.65)
        assert seeds.kept == {"d"}
