"""Trains a recorded trial again, as a worker does, and compares the results; nothing is written."""

import contextlib
import math
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from convnn.data import DataError, load_dataset
from convnn.data.sources import not_here
from search_spaces import SweepSpec, TrialConfig
from tune_jobs.driver.images import compared_images
from tune_jobs.driver.trials import task_of
from tune_jobs.errors import ExitCode, SweepError, UsageError
from tune_jobs.events import Job
from tune_jobs.evidence.compared import TOLERANCE, Compared, Pair, Verdict, compared, first, is_result, worst
from tune_jobs.evidence.expected import CPU, Expectation, expectation, threads_of, trained_on
from tune_jobs.record.folder import SweepFolder, epoch_of
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.manifest import recorded_starts
from tune_jobs.record.rows import Attempt, Epoch
from tune_jobs.results.history import TrialHistory, history
from tune_jobs.worker.attempt import evaluate_task, train_task
from tune_jobs.worker.entrypoint import Objective, reports_of
from tune_jobs.worker.reports import AttemptFailed, EpochDone, Report, ResumedFrom
from tune_jobs.worker.task import Task

_NOWHERE = Path(os.devnull)
"""A path under which nothing can be written."""


class Watcher(Protocol):
    """Receives the progress of a replay."""

    def begin(self, expected: Expectation) -> None:
        """Note that training or evaluation is about to start."""

    def take(self, epoch: Compared) -> None:
        """Note that an epoch was compared."""


@dataclass(frozen=True)
class Recorded:
    """The recorded data of a trial that is compared."""

    history: TrialHistory
    spec: SweepSpec
    starts: list[Mapping[str, Any]]
    epochs: list[Epoch]
    checkpoint: Path | None = None
    """The checkpoint that is evaluated instead of training."""

    @cached_property
    def attempts(self) -> list[Attempt]:
        """The attempts that recorded these epochs."""
        numbers = {epoch.attempt for epoch in self.epochs}
        return [attempt for attempt in self.history.attempts if attempt.attempt in numbers]

    @property
    def folder(self) -> SweepFolder:
        """The sweep's folder."""
        return self.history.folder

    @property
    def config(self) -> TrialConfig:
        """The trial's configuration."""
        return self.history.row.config

    @property
    def threads(self) -> int:
        """Number of CPU threads to train with."""
        return threads_of(self.attempts, self.spec.resources.cpus_per_trial)


@dataclass(frozen=True)
class Replay:
    """The comparison of a trial's metrics with those of a replay."""

    recorded: Recorded
    expected: Expectation
    epochs: list[Compared]
    tolerance: float
    ended: str | None
    """Why the replay ended before the last recorded epoch, if it did."""

    @property
    def verdict(self) -> Verdict:
        """The verdict of the worst epoch."""
        return worst(epoch.verdict for epoch in self.epochs)

    @property
    def first_unequal(self) -> Pair | None:
        """The first value that is not equal bit for bit."""
        return first(self.epochs, "within_tolerance", "different")

    @property
    def first_different(self) -> Pair | None:
        """The first value beyond the tolerance."""
        return first(self.epochs, "different")

    @property
    def exit_code(self) -> int:
        """0 if the values are as expected."""
        fine = self.verdict == "equal" or (self.verdict == "within_tolerance" and not self.expected.bit_equal)
        return ExitCode.DONE if fine else ExitCode.DIFFERENT

    def as_dict(self) -> dict[str, Any]:
        """Return it for programs; see `tune_jobs.evidence.replayed`."""
        recorded, row = self.recorded, self.recorded.history.row
        return {
            "sweep": recorded.folder.name,
            "trial": row.number,
            "run_key": row.run_key,
            "state": row.state,
            "checkpoint": recorded.checkpoint and str(recorded.checkpoint),
            "verdict": self.verdict,
            "expected_equal": self.expected.bit_equal,
            "tolerance": self.tolerance,
            "threads": recorded.threads,
            "first_unequal": _told(self.first_unequal),
            "first_different": _told(self.first_different),
            "ended": self.ended,
            "differences": [asdict(difference) for difference in self.expected.differences],
            "assumed": self.expected.assumed,
            "notes": self.expected.notes,
            "epochs": [
                {
                    "epoch": epoch.epoch,
                    "verdict": epoch.verdict,
                    "recorded": {pair.metric: pair.recorded for pair in epoch.pairs},
                    "replayed": {pair.metric: pair.replayed for pair in epoch.pairs},
                }
                for epoch in self.epochs
            ],
        }


def recorded_trial(
    folder: SweepFolder,
    trial: str,
    *,
    epochs: int | None = None,
    from_checkpoint: bool = False,
    data_root: str | None = None,
) -> Recorded:
    """Return the recorded data of a trial to replay.

    Args:
        folder: The sweep's folder.
        trial: See `tune_jobs.results.history.history`.
        epochs: Number of first epochs to replay; all recorded epochs if `None`.
        from_checkpoint: Only check the epoch of the newest kept checkpoint.
        data_root: The present folder of its images; the recorded folder if `None`.

    Raises:
        UsageError: If the trial does not exist, or has no recorded epoch or no checkpoint.
        SpecError: If the sweep's file cannot be read.
    """
    found = history(folder, trial)
    spec = found.spec()
    checkpoint = _newest_checkpoint(found) if from_checkpoint else None
    there = found.epochs if checkpoint is None else [_epoch_of(found, checkpoint)]
    chosen = [epoch for epoch in there if any(map(is_result, epoch.metrics))][:epochs]
    if not chosen:
        row = found.row
        raise UsageError(
            f"trial {row.number} of {folder.name} ({row.state}) has no recorded epoch to compare; choose another "
            f"trial: convnn show {folder.name}"
        )
    if data_root is not None:
        config = found.row.config
        data = config.data.model_copy(update={"root": data_root})
        found = replace(found, row=replace(found.row, config=config.model_copy(update={"data": data})))
    return Recorded(found, spec, _starts(folder), chosen, checkpoint)


def _starts(folder: SweepFolder) -> list[Mapping[str, Any]]:
    """Return the starts in the manifest; none if it is damaged."""
    try:
        return [start for start in recorded_starts(folder) if isinstance(start, dict)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _newest_checkpoint(found: TrialHistory) -> Path:
    kept, row, name = found.folder.checkpoints(found.row.run_key), found.row, found.folder.name
    if not kept:
        raise UsageError(
            f"trial {row.number} has no checkpoint: a sweep keeps checkpoints of its resources.keep_best best trials "
            f"and of unfinished ones. To train it again instead: convnn replay {name} {row.number}"
        )
    return kept[0]


def _epoch_of(found: TrialHistory, checkpoint: Path) -> Epoch:
    """Return the recorded epoch of a checkpoint, from its attempt if possible, as a later attempt may repeat it."""
    epoch = epoch_of(checkpoint)
    with contextlib.closing(Ledger(found.folder.ledger)) as ledger:
        there = [each for each in ledger.epochs(found.row.run_key) if each.epoch == epoch]
    if not there:
        raise UsageError(f"{checkpoint} is of epoch {epoch}, and the sweep's ledger has no such epoch of the trial.")
    return next((each for each in there if str(each.attempt) == checkpoint.parent.name), there[-1])


def replay(recorded: Recorded, watcher: Watcher, *, tolerance: float = TOLERANCE) -> Replay:
    """Train a trial again with the installed code, or evaluate its checkpoint, and compare.

    Args:
        recorded: See `recorded_trial`.
        watcher: Receives the progress.
        tolerance: Allowed difference: relative for a loss, absolute for an accuracy.

    Raises:
        UsageError: If the images differ from the sweep's.
        DataError: If the images are missing.
        SweepError: If the trial cannot be trained here, or the checkpoint cannot be used.
    """
    notes = _require_images(recorded)
    task = _task(recorded, notes)
    due = {epoch.epoch: epoch for epoch in recorded.epochs}
    epochs: list[Compared] = []
    expected, ended = None, None
    objective = train_task if recorded.checkpoint is None else evaluate_task
    for report in _reports(task, objective):
        if isinstance(report, ResumedFrom):
            assert report.environment is not None
            expected = expectation(recorded.attempts, recorded.starts, report.environment, report.device)
            expected = replace(expected, notes=[*expected.notes, *notes, *filter(None, [report.note])])
            watcher.begin(expected)
        elif isinstance(report, EpochDone) and report.epoch in due:
            metrics = due.pop(report.epoch).metrics
            if recorded.checkpoint is not None:
                metrics = {name: value for name, value in metrics.items() if name in report.metrics}
            epochs.append(compared(report.epoch, metrics, report.metrics, tolerance))
            watcher.take(epochs[-1])
        elif isinstance(report, AttemptFailed):
            ended = _ended(recorded, report)
        if not due:
            break
    assert expected is not None
    for epoch in due.values():  # epochs that the replay did not reach
        epochs.append(compared(epoch.epoch, epoch.metrics, {}, tolerance))
        watcher.take(epochs[-1])
    return Replay(recorded, expected, epochs, tolerance, ended)


def _ended(recorded: Recorded, report: AttemptFailed) -> str:
    """Return the reason of a replay that diverged.

    Raises:
        SweepError: If it failed in another way.
    """
    if report.failure == "diverged":
        return report.reason
    if recorded.checkpoint is not None:
        row, name = recorded.history.row, recorded.folder.name
        raise SweepError(
            f"the checkpoint cannot be checked: {report.reason} To train the trial again instead, leave out "
            f"--from-checkpoint: convnn replay {name} {row.number}"
        )
    raise SweepError(f"the replay failed ({report.failure}): {report.reason}")


def _require_images(recorded: Recorded) -> list[str]:
    """Refuse images that differ from the sweep's; return notes if they cannot be compared."""
    data, name = recorded.config.data, recorded.folder.name
    place = data.root or "the default folder"
    if not_here(data.name, data.root) is not None:
        raise DataError(f"{data.name}, on which {name} was trained, is not in {place}; give its folder: --data-root.")
    try:
        opened = load_dataset(data.name, data.root, splits=recorded.spec.evaluation.opens)
    except DataError as error:
        raise DataError(f"{error} If the images have moved, give their folder: --data-root.") from error
    notes: list[str] = []
    with contextlib.closing(Ledger(recorded.folder.ledger)) as ledger:
        found = list(compared_images(data, opened, ledger, notes.append))
    for what, now, before in found:
        if now != before:
            raise UsageError(
                f"the images of {what} in {place} differ from those that {name} was trained on (digest {now[:12]}, was "
                f"{before[:12]}); give the folder of the original images: --data-root."
            )
    return notes if found or notes else [f"The sweep recorded no digest of {data.name}; its images are assumed."]


def _task(recorded: Recorded, notes: list[str]) -> Task:
    """Return the task for a worker, changed so that it writes nothing and resumes only from the given checkpoint."""
    row, config = recorded.history.row, recorded.config
    device = _device(recorded)
    if device == CPU and config.training.precision == "tf32":
        notes.append("tf32 exists only on GPUs; the trial is replayed in fp32.")
        training = config.training.model_copy(update={"precision": "fp32"})
        config = config.model_copy(update={"training": training})
    return replace(
        task_of(recorded.spec, recorded.folder, Job(row.run_key, 1, row.number, config)),
        folder=_NOWHERE,
        resume_from=() if recorded.checkpoint is None else (recorded.checkpoint,),
        stop_file=_NOWHERE / "stopping",
        device=device,
        threads=recorded.threads,
        checkpoint_every_s=math.inf,
        keep_last=False,
    )


def _device(recorded: Recorded) -> str:
    import torch

    on_gpu = any(trained_on(attempt) != CPU for attempt in recorded.attempts)
    return "cuda" if on_gpu and torch.cuda.is_available() else CPU


def _reports(task: Task, objective: Objective) -> Iterator[Report]:
    """Yield the reports; a thread makes each one, as in a Ray Tune worker, so that Ctrl-C works in the meantime."""
    pool = ThreadPoolExecutor(1, "replay")
    reports = reports_of(task, objective)
    try:
        while (report := pool.submit(next, reports, None).result()) is not None:
            yield report
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _told(pair: Pair | None) -> dict[str, Any] | None:
    return None if pair is None else asdict(pair)
