"""A trial that was recorded, trained again as a worker does, and compared; nothing is written."""

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
"""Has nothing below it, and nothing can be written there."""


class Watcher(Protocol):
    """Is told how a replay gets on."""

    def begin(self, expected: Expectation) -> None:
        """Training, or the evaluation, is about to begin."""

    def take(self, epoch: Compared) -> None:
        """An epoch was compared."""


@dataclass(frozen=True)
class Recorded:
    """What a sweep has recorded of a trial, as far as it is compared."""

    history: TrialHistory
    spec: SweepSpec
    starts: list[Mapping[str, Any]]
    epochs: list[Epoch]
    checkpoint: Path | None = None
    """The kept one that is evaluated in place of training."""

    @cached_property
    def attempts(self) -> list[Attempt]:
        """Those that recorded these epochs."""
        numbers = {epoch.attempt for epoch in self.epochs}
        return [attempt for attempt in self.history.attempts if attempt.attempt in numbers]

    @property
    def folder(self) -> SweepFolder:
        """The sweep's."""
        return self.history.folder

    @property
    def config(self) -> TrialConfig:
        """The trial's."""
        return self.history.row.config

    @property
    def threads(self) -> int:
        """Those to train with."""
        return threads_of(self.attempts, self.spec.resources.cpus_per_trial)


@dataclass(frozen=True)
class Replay:
    """How a trial's numbers compare with those of a replay."""

    recorded: Recorded
    expected: Expectation
    epochs: list[Compared]
    tolerance: float
    ended: str | None
    """Why the replay ended before the record, if it did."""

    @property
    def verdict(self) -> Verdict:
        """That of the worst epoch."""
        return worst(epoch.verdict for epoch in self.epochs)

    @property
    def first_unequal(self) -> Pair | None:
        """The first number that is not equal bit for bit."""
        return first(self.epochs, "within_tolerance", "different")

    @property
    def first_different(self) -> Pair | None:
        """The first number beyond the tolerance."""
        return first(self.epochs, "different")

    @property
    def exit_code(self) -> int:
        """0 where the numbers are as they should be."""
        fine = self.verdict == "equal" or (self.verdict == "within_tolerance" and not self.expected.bit_equal)
        return ExitCode.DONE if fine else ExitCode.DIFFERENT

    def as_dict(self) -> dict[str, Any]:
        """For programs: see `tune_jobs.evidence.replayed`."""
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
    """What is to be replayed of a trial.

    Args:
        folder: The sweep's.
        trial: See `tune_jobs.results.history.history`.
        epochs: The first so many; all that are recorded if `None`.
        from_checkpoint: The epoch of the newest kept checkpoint alone.
        data_root: Where its images are now; where they were if `None`.

    Raises:
        UsageError: If there is no such trial, no epoch of it, or no checkpoint.
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
    """The starts in the manifest; none where it is damaged."""
    try:
        return [start for start in recorded_starts(folder) if isinstance(start, dict)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _newest_checkpoint(found: TrialHistory) -> Path:
    kept, row, name = found.folder.checkpoints(found.row.run_key), found.row, found.folder.name
    if not kept:
        raise UsageError(
            f"trial {row.number} has no checkpoint: a sweep keeps those of its resources.keep_best best trials, and of "
            f"unfinished ones. To train it again instead: convnn replay {name} {row.number}"
        )
    return kept[0]


def _epoch_of(found: TrialHistory, checkpoint: Path) -> Epoch:
    """The record of a checkpoint's epoch, by its name: of its own attempt, which may have been overtaken since."""
    epoch = epoch_of(checkpoint)
    with contextlib.closing(Ledger(found.folder.ledger)) as ledger:
        there = [each for each in ledger.epochs(found.row.run_key) if each.epoch == epoch]
    if not there:
        raise UsageError(f"{checkpoint} is of epoch {epoch}, and the sweep's record has no such epoch of the trial.")
    return next((each for each in there if str(each.attempt) == checkpoint.parent.name), there[-1])


def replay(recorded: Recorded, watcher: Watcher, *, tolerance: float = TOLERANCE) -> Replay:
    """Train a trial again with the installed code, or evaluate its checkpoint, and compare.

    Args:
        recorded: See `recorded_trial`.
        watcher: Is told how it gets on.
        tolerance: How far a loss may be off as a share of itself, and an accuracy as it is.

    Raises:
        UsageError: If the images are others than the sweep's.
        DataError: If the images are not there.
        SweepError: If it cannot be trained here, or the checkpoint cannot be used.
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
    for epoch in due.values():  # which the replay did not come to
        epochs.append(compared(epoch.epoch, epoch.metrics, {}, tolerance))
        watcher.take(epochs[-1])
    return Replay(recorded, expected, epochs, tolerance, ended)


def _ended(recorded: Recorded, report: AttemptFailed) -> str:
    """What a replay that diverges says.

    Raises:
        SweepError: If it could not be trained.
    """
    if report.failure == "diverged":
        return report.reason
    if recorded.checkpoint is not None:
        row, name = recorded.history.row, recorded.folder.name
        raise SweepError(
            f"the checkpoint cannot be checked: {report.reason} Without --from-checkpoint the trial is trained again "
            f"and needs none: convnn replay {name} {row.number}"
        )
    raise SweepError(f"the replay failed ({report.failure}): {report.reason}")


def _require_images(recorded: Recorded) -> list[str]:
    """Refuse other images than the sweep's; what is to be said where they cannot be compared."""
    data, name = recorded.config.data, recorded.folder.name
    place = data.root or "the default folder"
    if not_here(data.name, data.root) is not None:
        raise DataError(f"{data.name}, on which {name} was trained, is not in {place}; name its folder: --data-root.")
    try:
        opened = load_dataset(data.name, data.root, splits=recorded.spec.evaluation.opens)
    except DataError as error:
        raise DataError(f"{error} If the images are elsewhere now, name their folder: --data-root.") from error
    notes: list[str] = []
    with contextlib.closing(Ledger(recorded.folder.ledger)) as ledger:
        found = list(compared_images(data, opened, ledger, notes.append))
    for what, now, before in found:
        if now != before:
            raise UsageError(
                f"the images of {what} in {place} are not those that {name} was trained on (digest {now[:12]}, was "
                f"{before[:12]}); name the folder of those: --data-root."
            )
    return notes if found or notes else [f"The sweep recorded no digest of {data.name}; its images are assumed."]


def _task(recorded: Recorded, notes: list[str]) -> Task:
    """What a worker would be told, but that it keeps nothing and goes on from nothing else."""
    row, config = recorded.history.row, recorded.config
    device = _device(recorded)
    if device == CPU and config.training.precision == "tf32":
        notes.append("tf32 exists on GPUs only; it is replayed in fp32.")
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
    """The reports, each made in a thread as in a worker of Ray Tune: Ctrl-C is answered while one is being made."""
    pool = ThreadPoolExecutor(1, "replay")
    reports = reports_of(task, objective)
    try:
        while (report := pool.submit(next, reports, None).result()) is not None:
            yield report
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _told(pair: Pair | None) -> dict[str, Any] | None:
    return None if pair is None else asdict(pair)
