"""Fits our Search to Ray Tune: a Searcher that hands out jobs, and a scheduler that records and stops.

An exception in either would end every trial, so what goes wrong here is kept and raised after Tune has ended.
"""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper

from tune_jobs.errors import ClusterError
from tune_jobs.search import BY_THE_RULE, Job, Search

LOST_AT_MOST = 3
"""Workers in a row that may fail to start before the sweep gives up."""


class Desk:
    """What Searcher, scheduler and stopper share: the jobs under way, by Tune's trial id."""

    def __init__(
        self, search: Search, task_of: Callable[[Job], dict[str, Any]], tell: Callable[[str, Job, dict[str, Any]], None]
    ) -> None:
        """`tell(event, job, details)` is called for `start`, `epoch` and `end`."""
        self.search = search
        self.task_of = task_of
        self.tell = tell
        self.jobs: dict[str, Job] = {}
        self.error: BaseException | None = None
        self.stopping = False
        self.lost_in_a_row = 0

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Tune pickles all it is given for a restore that never happens here: the ledger holds it all."""
        return object, ()

    def guarded(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """`method`, with its first exception kept for after the run, which then ends."""

        @functools.wraps(method)
        def call(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - Tune's own signatures
            try:
                return method(*arguments, **named)
            except Exception as error:  # noqa: BLE001 - raised by the runner
                self.error = self.error or error
                return None

        return call

    def end(self, trial_id: str, state: Any, reason: str | None = None) -> None:  # noqa: ANN401 - a State
        """Record the end of a job, once."""
        job = self.jobs.pop(trial_id, None)
        if job is not None:
            self.search.end(job, state, reason)
            self.tell("end", job, {"state": state, "reason": reason})

    def has_log(self, trial_id: str) -> bool:
        """Whether the worker of a job came so far as to open its log."""
        job = self.jobs.get(trial_id)
        return job is None or (Path(self.task_of(job)["folder"]) / "log.txt").exists()

    def lose(self, trial_id: str) -> None:
        """A worker that never started: not the trial's fault, so it is due again, but not for ever."""
        self.end(trial_id, "interrupted", "the worker process did not start")
        self.lost_in_a_row += 1
        if self.lost_in_a_row >= LOST_AT_MOST:
            raise ClusterError(
                f"{LOST_AT_MOST} worker processes in a row did not start; Ray's logs say why "
                f"(/tmp/ray/session_latest/logs on the machine that runs Ray). The same command goes on."
            )


class DeskSearcher(Searcher):  # type: ignore[misc]
    """Hands Tune the desk's next job."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self.suggest = desk.guarded(self._suggest)
        self.on_trial_complete = desk.guarded(self._on_trial_complete)

    def _suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self._desk.stopping or self._desk.error is not None:
            return str(Searcher.FINISHED)
        job = self._desk.search.next()
        if job is None:
            return str(Searcher.FINISHED)
        self._desk.jobs[trial_id] = job
        self._desk.tell("start", job, {})
        return self._desk.task_of(job)

    def _on_trial_complete(self, trial_id: str, result: object = None, error: bool = False) -> None:
        del result
        if self._desk.stopping or self._desk.error is not None:
            self._desk.end(trial_id, "interrupted", "the sweep was interrupted")
        elif error and not self._desk.has_log(trial_id):
            self._desk.lose(trial_id)
        elif error:
            self._desk.end(
                trial_id, "failed", "the worker process died (out of memory, killed or crashed); see log.txt"
            )
        else:
            self._desk.end(trial_id, "failed", "the worker ended without its last epoch; see log.txt")

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger holds it all."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the ledger holds it all."""


class DeskScheduler(FIFOScheduler):  # type: ignore[misc]
    """Records every report, and stops the trials that the search gives up."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self._guarded = desk.guarded(self._record)

    def on_trial_result(self, tune_controller: object, trial: Any, result: dict[str, Any]) -> str:  # noqa: ANN401
        """Tune's hook for each report."""
        del tune_controller
        return str(self._guarded(trial.trial_id, result) or TrialScheduler.CONTINUE)

    def _record(self, trial_id: str, result: dict[str, Any]) -> str | None:
        job = self._desk.jobs.get(trial_id)
        if job is None:
            return None
        if result["kind"] == "end":
            self._desk.end(trial_id, result["state"], result["reason"])
            return None
        self._desk.lost_in_a_row = 0
        epoch, metrics = result["epoch"], json.loads(result["metrics"])
        stop = self._desk.search.report(job, epoch, metrics)
        self._desk.tell("epoch", job, {"epoch": epoch, "metrics": metrics})
        if epoch == job.config.training.epochs:
            self._desk.end(trial_id, "complete")
        elif stop:
            self._desk.end(trial_id, "stopped", BY_THE_RULE)
            return str(TrialScheduler.STOP)
        return None


class DeskStopper(Stopper):  # type: ignore[misc]
    """Ends the run when it was interrupted, or when something went wrong at the desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never a single trial."""
        del trial_id, result
        return False

    def stop_all(self) -> bool:
        """Tune asks this at every step."""
        return self._desk.stopping or self._desk.error is not None


def task_of(
    job: Job,
    *,
    folder: Path,
    resume_from: list[Path],
    evaluation: dict[str, Any],
    device: str,
    threads: int,
    checkpoint_every_s: float,
) -> dict[str, Any]:
    """What a worker is told: plain data, for any machine of the cluster."""
    return {
        "config": job.config.model_dump_json(by_alias=True),
        "folder": str(folder),
        "resume_from": [str(path) for path in resume_from],
        "evaluation": evaluation,
        "device": device,
        "threads": threads,
        "checkpoint_every_s": checkpoint_every_s,
    }
