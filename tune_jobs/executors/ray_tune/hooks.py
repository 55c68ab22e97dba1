"""The hooks by which Ray Tune comes to a desk: a Searcher that hands out its jobs, a scheduler that records and stops.

One Tune trial is one attempt; Tune itself never repeats one.
"""

import functools
import time
from typing import Any

from ray.tune.callback import Callback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper

from tune_jobs.driver.controller import Desk
from tune_jobs.executors.ray_tune.worker_loss import classify_loss


class DeskSearcher(Searcher):  # type: ignore[misc]
    """Hands Tune the desk's next job."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self._next = desk.guarded(desk.next)
        self._over = desk.guarded(desk.over)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Tune's hook for the next trial."""
        task: dict[str, Any] | str | None = self._next(trial_id)
        return task if self._desk.error is None else str(Searcher.FINISHED)

    def on_trial_complete(self, trial_id: str, result: object = None, error: bool = False) -> None:
        """Tune's hook for the end of each trial."""
        del result
        self._over(trial_id, error=error)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger holds it all."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the ledger holds it all."""


class DeskScheduler(FIFOScheduler):  # type: ignore[misc]
    """Records every report, and stops the trials that the search gives up."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._running = desk.running
        self._record = desk.guarded(desk.record)
        gpu = desk.search.spec.resources.gpus_per_trial > 0
        self._classify = desk.guarded(functools.partial(classify_loss, gpu=gpu))

    def on_trial_result(self, tune_controller: object, trial: Any, result: dict[str, Any]) -> str:  # noqa: ANN401
        """Tune's hook for each report."""
        del tune_controller
        return str(TrialScheduler.STOP if self._record(trial.trial_id, result) else TrialScheduler.CONTINUE)

    def on_trial_error(self, tune_controller: object, trial: Any) -> None:  # noqa: ANN401
        """Tune's hook for a worker's death, before the Searcher's."""
        del tune_controller
        run = self._running.get(trial.trial_id)
        if run is not None and run.lost is None:
            run.lost = self._classify(trial.get_pickled_error(), run.node)


class DeskCallback(Callback):  # type: ignore[misc]
    """Notes when workers are there."""

    def __init__(self, desk: Desk) -> None:
        self._running = desk.running

    def on_trial_start(self, iteration: int, trials: object, trial: Any, **info: object) -> None:  # noqa: ANN401
        """Tune's hook for each worker that has started."""
        del iteration, trials, info
        run = self._running.get(trial.trial_id)
        if run is not None:
            run.tune_trial, run.started = trial, time.monotonic()


class DeskStopper(Stopper):  # type: ignore[misc]
    """Ends the run once nothing more is to be waited for."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._tick = desk.guarded(desk.tick)

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never a single trial."""
        del trial_id, result
        return False

    def stop_all(self) -> bool:
        """Tune asks this at every step."""
        self._tick()
        return self._desk.all_over()
