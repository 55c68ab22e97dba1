"""Ray Tune's hooks. They only translate between Tune and the executor, and decide nothing.

One Tune trial is one task; Tune itself never retries a task. The hooks run in Tune's thread; see `TuneExecutor`.
"""

from typing import Any, Protocol

from ray.tune.callback import Callback
from ray.tune.experiment import Trial
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper


class Translated(Protocol):
    """The executor, as the hooks use it."""

    @property
    def closing(self) -> bool:
        """Whether Tune's run is to end."""

    def take_task(self, trial_id: str) -> dict[str, Any] | None:
        """Return the next task, for a trial of Tune."""

    def take_start(self, trial: Any) -> None:  # noqa: ANN401 - Tune's Trial
        """A worker has started."""

    def take_report(self, trial_id: str, sent: dict[str, Any]) -> bool:
        """A worker has reported. Returns whether its trial is to stop."""

    def take_death(self, trial_id: str, error: BaseException | None) -> None:
        """A worker has died."""

    def take_end(self, trial_id: str, *, error: bool) -> None:
        """Tune has finished a trial."""


class TaskSearcher(Searcher):  # type: ignore[misc]
    """Gives Tune the next task, and passes on the end of each trial."""

    def __init__(self, executor: Translated) -> None:
        super().__init__()
        self._executor = executor

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Tune's hook for the next trial; returns Tune's FINISHED if no more will follow."""
        task = self._executor.take_task(trial_id)
        return str(Searcher.FINISHED) if task is None and self._executor.closing else task

    def on_trial_complete(self, trial_id: str, result: object = None, error: bool = False) -> None:
        """Tune's hook for the end of each trial."""
        del result
        self._executor.take_end(trial_id, error=error)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: all state is in the ledger."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: all state is in the ledger."""


_KEEPS_ENDED = ("_live_trials", "_stopped_trials", "_failed_trials", "_trials_to_cache")
"""Sets of Tune's controller."""

_KEEPS_CALLS = ("_pending_actors_to_enqueued_actor_tasks", "_pending_actors_to_attrs")
"""Tables of its actor manager: the calls by worker, and the workers that will start."""


class ReportScheduler(FIFOScheduler):  # type: ignore[misc]
    """Passes on every report and every death of a worker, and chooses the trial that gets a free worker."""

    def __init__(self, executor: Translated) -> None:
        super().__init__()
        self._executor = executor
        self._waiting: list[Any] = []  # trials, in the order of arrival
        self._ended: set[Any] = set()  # trials that Tune still keeps
        self._controller: Any = None  # Tune's own; `choose_trial_to_run` receives a wrapper that restricts access

    def on_trial_add(self, tune_controller: object, trial: Any) -> None:  # noqa: ANN401
        """Tune's hook for each new trial."""
        del tune_controller
        self._waiting.append(trial)

    def choose_trial_to_run(self, tune_controller: object) -> Any:  # noqa: ANN401 - Tune's Trial
        """Tune's hook at every step: return the newest waiting trial, which gets a free worker.

        By default Tune chooses the oldest, and kills the worker that is already starting for it. So with short trials
        a second worker might never start.
        """
        del tune_controller
        self._forget_ended()
        self._waiting = [trial for trial in self._waiting if trial.status == Trial.PENDING]
        return self._waiting[-1] if self._waiting else None

    def on_trial_result(self, tune_controller: object, trial: Any, result: dict[str, Any]) -> str:  # noqa: ANN401
        """Tune's hook for each report."""
        del tune_controller
        stop = self._executor.take_report(trial.trial_id, result)
        return str(TrialScheduler.STOP if stop else TrialScheduler.CONTINUE)

    def on_trial_complete(self, tune_controller: object, trial: Any, result: object) -> None:  # noqa: ANN401
        """Tune's hook for a trial that has ended without an error."""
        del result
        self._end(tune_controller, trial)

    def on_trial_error(self, tune_controller: object, trial: Any) -> None:  # noqa: ANN401
        """Tune's hook for a worker's death, before the Searcher's."""
        self._executor.take_death(trial.trial_id, trial.get_pickled_error())
        self._end(tune_controller, trial)

    def _end(self, tune_controller: object, trial: object) -> None:
        self._ended.add(trial)
        self._controller = tune_controller

    def _forget_ended(self) -> None:
        """Remove ended trials from Tune's lists.

        Tune has no function for it. It keeps each trial, with 30 KB, and visits all of them at each step. Its actor
        manager also keeps the call that ends a worker, for each worker that was not needed before it started.
        """
        done = {trial for trial in self._ended if trial.is_finished()}
        if not done:
            return
        self._ended -= done
        trials = self._controller.get_trials()
        trials[:] = [trial for trial in trials if trial not in done]
        for name in _KEEPS_ENDED:
            getattr(self._controller, name, set()).difference_update(done)
        manager = getattr(self._controller, "_actor_manager", None)
        calls, waiting = (getattr(manager, name, {}) for name in _KEEPS_CALLS)
        for worker in [worker for worker in calls if worker not in waiting]:
            del calls[worker]


class StartCallback(Callback):  # type: ignore[misc]
    """Passes on the start of each worker."""

    def __init__(self, executor: Translated) -> None:
        self._executor = executor

    def on_trial_start(self, iteration: int, trials: object, trial: Any, **info: object) -> None:  # noqa: ANN401
        """Tune's hook for a worker that has started."""
        del iteration, trials, info
        self._executor.take_start(trial)


class NoProgress(TrialProgressCallback):  # type: ignore[misc]
    """Takes the place of Tune's own, which would keep every trial and its last result, and prints nothing here."""

    def log_result(self, trial: object, result: object, error: bool = False) -> None:
        """Print nothing."""

    def on_trial_complete(self, iteration: int, trials: object, trial: object, **info: object) -> None:
        """Keep nothing."""


class ClosingStopper(Stopper):  # type: ignore[misc]
    """Ends Tune's run when the executor closes."""

    def __init__(self, executor: Translated) -> None:
        self._executor = executor

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never stop a single trial."""
        del trial_id, result
        return False

    def stop_all(self) -> bool:
        """Tune asks this at every step."""
        return self._executor.closing
