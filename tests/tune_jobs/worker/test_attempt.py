"""Tests of one attempt, without Ray."""

from dataclasses import replace
from pathlib import Path

from search_spaces import TrialConfig
from search_spaces.settings import Holdout
from tune_jobs.record.folder import checkpoints_in
from tune_jobs.worker.attempt import train_task
from tune_jobs.worker.entrypoint import reports_of
from tune_jobs.worker.environment import environment_here
from tune_jobs.worker.reports import EpochDone, ResumedFrom, StoppedWithSweep
from tune_jobs.worker.task import Task

CONFIG = TrialConfig.model_validate(
    {
        "data": {"name": "digits", "limit": 60},
        "model": {"name": "vgg11", "width": 0.0625, "classifier_width": 16, "layer": {"kind": "conv2d"}},
        "training": {"epochs": 3},
    }
)


def task(folder: Path, earlier: tuple[Path, ...] = ()) -> Task:
    return Task(
        run_key="key",
        attempt=1,
        config=CONFIG,
        alone=False,
        folder=folder,
        resume_from=earlier,
        stop_file=folder.parent / "stopping",
        ledger=folder.parent / "ledger.db",
        evaluation=Holdout(),
        device="cpu",
        threads=1,
        checkpoint_every_s=1e9,
        keep_last=False,
    )


def test_an_unreadable_checkpoint_is_skipped_for_the_one_before(tmp_path: Path) -> None:
    first = task(tmp_path / "1")
    first.folder.mkdir()
    first.stop_file.touch()
    start, epoch, end = reports_of(first, train_task)
    assert (start, end) == (ResumedFrom(0, None, "cpu", environment_here()), StoppedWithSweep())
    assert isinstance(epoch, EpochDone)
    assert {"val/accuracy", "params", "gflops"} <= epoch.metrics.keys()
    first.stop_file.unlink()
    unreadable = tmp_path / "2" / "checkpoint-000002.pt"
    unreadable.mkdir(parents=True)  # reading it raises an OSError, like a local disk error
    again = task(unreadable.parent, (unreadable, *checkpoints_in(first.folder)))
    start, *epochs = reports_of(again, train_task)
    assert isinstance(start, ResumedFrom)
    assert start.epoch == 1
    assert str(unreadable) in (start.note or "")
    assert [report.epoch for report in epochs if isinstance(report, EpochDone)] == [2, 3]


def test_a_trial_resumes_under_its_recorded_key(tmp_path: Path) -> None:
    """The recorded key differs from the key of this version."""
    first = replace(task(tmp_path / "1"), run_key=f"{7:016x}-s0")
    first.folder.mkdir()
    first.stop_file.touch()
    list(reports_of(first, train_task))
    first.stop_file.unlink()
    again = replace(task(tmp_path / "2", tuple(checkpoints_in(first.folder))), run_key=first.run_key)
    again.folder.mkdir()
    start, *_ = reports_of(again, train_task)
    assert start == ResumedFrom(1, None, "cpu", environment_here())
    other = task(tmp_path / "3", tuple(checkpoints_in(first.folder)))
    other.folder.mkdir()
    start, *_ = reports_of(other, train_task)
    assert isinstance(start, ResumedFrom)
    assert start.epoch == 0
    assert "another" in (start.note or "")
