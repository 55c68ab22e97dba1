"""Runs of the remaining trials of a ledger; the trials are scripted."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from search_spaces import Decided, SweepSpec
from search_spaces.settings import Budget, Resources
from tests.tune_jobs.driver.by_hand import SPEC
from tests.tune_jobs.driver.scripted import Unseen, new_ledger
from tune_jobs.driver.trials import Sweep, run_trials, task_of
from tune_jobs.events import Job
from tune_jobs.executors.base import Executor, Order
from tune_jobs.executors.inline import InlineExecutor, open_inline
from tune_jobs.record.folder import SweepFolder, checkpoint_path
from tune_jobs.record.ledger import Ledger
from tune_jobs.system.signals import Signals
from tune_jobs.worker.reports import AttemptFailed, EpochDone, Report
from tune_jobs.worker.task import Task

ROOMY = replace(SPEC, resources=Resources(min_free_gb=0))


def three_epochs(_: Task) -> Iterator[Report]:
    yield from (EpochDone(epoch, {"val/accuracy": 0.5}) for epoch in (1, 2, 3))


@contextlib.contextmanager
def opened(order: Order) -> Iterator[Executor]:
    assert order.address is None
    yield InlineExecutor(three_epochs, slots=2)


failing = open_inline(lambda _: iter([AttemptFailed("user_error", "a mistake")]))


@contextlib.contextmanager
def unopened(_: Order) -> Iterator[Executor]:
    raise AssertionError
    yield


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with contextlib.closing(new_ledger(tmp_path / "ledger.db")) as made:
        yield made


def sweep(ledger: Ledger, spec: SweepSpec = ROOMY) -> Sweep:
    return Sweep(spec, SweepFolder(ledger.path.parent), ledger, Unseen(), Signals())


def test_a_run_completes_every_trial_and_the_next_run_opens_no_executor(ledger: Ledger) -> None:
    assert run_trials(sweep(ledger), opened) == (True, None)
    assert ledger.states() == ["complete"] * 4
    assert run_trials(sweep(ledger), unopened) == (True, None)


def test_a_limit_reached_beforehand_opens_no_executor(ledger: Ledger) -> None:
    ledger.charge({}, 3600)
    exhausted, halt = run_trials(sweep(ledger, replace(ROOMY, budget=Budget(wall_hours=1))), unopened)
    assert not exhausted
    assert halt is not None
    assert halt.cause == "budget"


def test_a_budget_of_trials_ends_a_run_with_trials_remaining(ledger: Ledger) -> None:
    limited = sweep(ledger, replace(ROOMY, budget=Budget(trials=3)))
    for opener in (opened, unopened):
        exhausted, halt = run_trials(limited, opener)
        assert (exhausted, halt.cause if halt else None) == (False, "budget")
        assert ledger.states() == ["complete"] * 3


def test_only_trials_that_are_reopened_are_run(ledger: Ledger) -> None:
    run_trials(sweep(ledger), failing)
    assert ledger.states() == ["failed"] * 4
    key = ledger.trials()[0].run_key

    def reopen(record: Ledger) -> frozenset[str]:
        record.reopen([key])
        return frozenset([key])

    assert run_trials(sweep(ledger), opened, reopen=reopen) == (True, None)
    assert ledger.states() == ["complete", *["failed"] * 3]
    assert len(ledger.attempts()) == 5


def test_files_that_stop_or_pause_a_run_are_removed_with_it(ledger: Ledger) -> None:
    folder = SweepFolder(ledger.path.parent)
    folder.stop_file.touch()  # of a run that was killed
    assert run_trials(sweep(ledger), opened) == (True, None)
    assert not folder.stop_file.exists()
    assert not folder.pause_file.exists()


def test_a_task_has_everything_that_a_worker_needs(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)
    config = SPEC.space.resolve(Decided(next(SPEC.space.points())))
    for attempt, epoch in ((1, 2), (2, 3)):
        folder.attempt("a", attempt).mkdir(parents=True)
        checkpoint_path(folder.attempt("a", attempt), epoch).touch()
    spec = replace(SPEC, resources=Resources(gpus_per_trial=0.5, cpus_per_trial=3, keep_best=0, checkpoint_every_s=7))
    told = task_of(spec, folder, Job("a", 3, 1, config, alone=True))
    assert (told.id, told.alone, told.device, told.threads) == ("a-3", True, "cuda", 3)
    assert (told.checkpoint_every_s, told.keep_last) == (7, False)
    assert [path.parent.name for path in told.resume_from] == ["2", "1"]
    assert told.folder == folder.attempt("a", 3)
