"""The executor that runs tasks as trials of Ray Tune.

Tune's event loop runs in a thread and takes turns with the driver: a hook of Tune waits until the driver has handled
its update. So a trial continues only after its report is recorded.
"""

import contextlib
import shutil
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from tune_jobs.errors import ClusterError, RayError
from tune_jobs.executors.base import Executor, Gone, Loss, Order, Reported, Update, WorkerUp
from tune_jobs.executors.capacity import fitting, per_trial
from tune_jobs.executors.clock import AwakeClock
from tune_jobs.executors.ray_tune.session import answer, machines, ray_session
from tune_jobs.executors.ray_tune.worker_loss import classify_loss, kill_worker
from tune_jobs.system.scratch import scratch_folder
from tune_jobs.worker.entrypoint import Objective
from tune_jobs.worker.reports import Begun, decode
from tune_jobs.worker.task import Task

Found = TypeVar("Found")

MOST = 10_000
"""The number of workers that Tune may start at a time; without it, Tune would start one after another."""

WAKES_S = 0.2
"""A poll lasts at most this long, because Python handles signals only between polls."""

CLOSE_S = 60.0
"""How long Tune may take to end after every worker was killed."""


@contextlib.contextmanager
def open_ray_tune(order: Order, objective: Objective | None = None) -> Iterator[Executor]:
    """Open Ray Tune on a cluster, or on a local Ray on this machine.

    Args:
        order: The sweep, its resources and the cluster.
        objective: Replaces the training in the workers; `None` trains the configuration's model.

    Raises:
        ClusterError: If Ray cannot be started or reached, or no machine has room for a trial.
    """
    with ray_session(order.address, order.signals, order.say):
        answer(partial(_require_fit, per_trial(order.resources)), order.signals)
        yield TuneExecutor(order, objective)


def _require_fit(asked: dict[str, float]) -> None:
    for kind, name in (("CPU", "cpus_per_trial"), ("GPU", "gpus_per_trial")):
        most = max((machine.get(kind, 0.0) for machine in machines()), default=0.0)
        if most < asked[kind]:
            raise ClusterError(
                f"a trial requests {asked[kind]:g} {kind}, but the largest machine of Ray has {most:g}; lower "
                f"resources.{name}."
            )


class TuneExecutor:
    """See `tune_jobs.executors.base.Executor`. Tune's hooks call the `take_...` methods in Tune's thread."""

    def __init__(self, order: Order, objective: Objective | None = None) -> None:
        """Start Tune, which waits for tasks."""
        self.closing = False
        self._order = order
        self._objective = objective
        self._goes_on = f"nothing is lost; resume with: convnn resume {order.sweep}"
        self._clock = AwakeClock()
        self._asked = per_trial(order.resources)
        self._turn = threading.Condition()
        self._tasks: deque[dict[str, Any]] = deque()
        self._told: list[Callable[[], Update]] = []
        self._taken = self._answered = 0  # counts of updates: polled, and handled by the driver
        self._ids: dict[str, str] = {}  # by Tune's trial id, while the trial lives
        self._trials: dict[str, Any] = {}  # by task; only tasks that have a worker
        self._nodes: dict[str, str | None] = {}  # by task
        self._losses: dict[str, Loss] = {}  # by task
        self._stopped: set[str] = set()
        self._ended = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="ray-tune", daemon=True)
        self._thread.start()

    def now(self) -> float:
        """Return the seconds in which the driver ran."""
        return self._clock.now()

    def paused_s(self) -> float:
        """Return the seconds in which the driver was paused."""
        return self._clock.paused_s

    def room(self, without: Collection[str] = ()) -> int:
        """Return how many tasks fit on the living machines of Ray."""
        return fitting(self._asked, self._answer(partial(machines, without)))

    def start(self, task: Task, avoid: Collection[str] = ()) -> None:
        """Give a task to Tune, which waits for a machine with room."""
        with self._turn:
            self._tasks.append({**task.encode(), "id": task.id, "avoid": sorted(avoid)})
            self._turn.notify_all()

    def poll(self, timeout_s: float) -> Sequence[Update]:
        """Let Tune continue, and return its next updates."""
        with self._turn:
            self._answered = self._taken
            self._turn.notify_all()
            self._turn.wait_for(lambda: self._told or self._ended, min(timeout_s, WAKES_S))
            told, self._told = self._told, []
            self._taken += len(told)
        if not told:
            self._answer(lambda: None)
        if self._ended and not told:
            self._raise()
        updates = [make() for make in told]
        for update in updates:
            if isinstance(update, Reported) and isinstance(update.report, Begun):
                self._nodes[update.task] = update.report.node
        return updates

    def stop(self, task: str) -> None:
        """Let Tune stop the trial; its hook waits for the answer to a report."""
        self._stopped.add(task)

    def kill(self, task: str) -> None:
        """Kill the worker of a task; Tune then reports its death."""
        if (trial := self._trials.get(task)) is not None:
            self._answer(partial(kill_worker, trial))

    def close(self) -> None:
        """Kill the running workers, and wait until Tune has ended."""
        with self._turn:
            self.closing = True
            self._turn.notify_all()
        with contextlib.suppress(RayError):  # without Ray nobody can kill the workers, and they end by themselves
            for trial in list(self._trials.values()):
                self._answer(partial(kill_worker, trial))
            self._answer(partial(self._thread.join, CLOSE_S))

    def take_task(self, trial_id: str) -> dict[str, Any] | None:
        """Return the next task; `None` if there is none now. Waits for a task while Tune has nothing else to do."""
        with self._turn:
            self._turn.wait_for(lambda: self._tasks or self._ids or self.closing)
            if self.closing or not self._tasks:
                return None
            task = self._tasks.popleft()
            self._ids[trial_id] = task["id"]
            return task

    def take_start(self, trial: Any) -> None:  # noqa: ANN401 - Tune's Trial
        """A worker has started."""
        task = self._ids[trial.trial_id]
        self._trials[task] = trial
        self._tell(lambda: WorkerUp(task))

    def take_report(self, trial_id: str, sent: dict[str, Any]) -> bool:
        """A worker has reported. Returns whether its trial is to stop."""
        task = self._ids[trial_id]
        self._tell(lambda: Reported(task, decode(sent)))
        return task in self._stopped

    def take_death(self, trial_id: str, error: BaseException | None) -> None:
        """A worker has died."""
        task = self._ids[trial_id]
        self._losses[task] = classify_loss(error, self._nodes.get(task), gpu=self._asked["GPU"] > 0)

    def take_end(self, trial_id: str, *, error: bool) -> None:
        """Tune has finished a trial."""
        task = self._ids.pop(trial_id)
        self._trials.pop(task, None)
        self._nodes.pop(task, None)
        self._stopped.discard(task)
        loss = self._losses.pop(task, Loss("lost_worker", "the worker process died")) if error else None
        self._tell(lambda: Gone(task, loss))

    def _answer(self, call: Callable[[], Found]) -> Found:
        try:
            return answer(call, self._order.signals)
        except RayError as error:
            raise RayError(f"Ray's own processes have ended; {self._goes_on}.") from error

    def _tell(self, make: Callable[[], Update]) -> None:
        """Pass an update to the driver, and wait until it is handled. The driver decodes it and raises any error."""
        with self._turn:
            self._told.append(make)
            turn = self._taken + len(self._told)
            self._turn.notify_all()
            self._turn.wait_for(lambda: self._answered >= turn or self.closing)

    def _raise(self) -> None:
        import ray
        from ray import tune

        error = self._error
        if error is not None and not isinstance(error, ray.exceptions.RayError | tune.TuneError | ConnectionError):
            raise error
        reason = "it ended by itself" if error is None else (str(error).splitlines() or [type(error).__name__])[0]
        raise ClusterError(f"Ray ended the run: {reason}; {self._goes_on}") from error

    def _run(self) -> None:
        try:
            self._tune()
        except BaseException as error:  # noqa: BLE001 - raised in the driver's thread
            self._error = error
        finally:
            with self._turn:
                self._ended = True
                self._turn.notify_all()

    def _tune(self) -> None:
        from ray import tune

        from tune_jobs.executors.ray_tune.hooks import (
            ClosingStopper,
            NoProgress,
            ReportScheduler,
            StartCallback,
            TaskSearcher,
        )
        from tune_jobs.executors.ray_tune.worker import train_attempt

        scratch = scratch_folder("tune")  # for Tune's own files, which are never read again
        try:
            tune.Tuner(
                tune.with_resources(
                    partial(train_attempt, objective=self._objective), partial(_resources, self._asked)
                ),
                tune_config=tune.TuneConfig(
                    search_alg=TaskSearcher(self),
                    scheduler=ReportScheduler(self),
                    num_samples=-1,
                    max_concurrent_trials=MOST,  # the driver limits the number of trials
                    reuse_actors=not self._asked["GPU"],  # a worker that keeps torch loaded saves seconds per trial
                    trial_name_creator=str,
                    trial_dirname_creator=lambda trial: trial.trial_id,
                ),
                run_config=tune.RunConfig(
                    name="tune",
                    storage_path=str(scratch),
                    stop=ClosingStopper(self),
                    callbacks=[StartCallback(self), NoProgress()],
                    failure_config=tune.FailureConfig(max_failures=0),
                    verbose=0,
                    progress_reporter=_silent_in_notebooks(),
                ),
            ).fit()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Tune pickles its arguments for a restore that never happens here, since all state is in the ledger."""
        return object, ()


def _silent_in_notebooks() -> Any:  # noqa: ANN401 - Tune's ProgressReporter
    """In a notebook, Tune's default reporter clears the cell's output even at verbosity 0; this one prints nothing."""
    from ray.tune.progress_reporter import IS_NOTEBOOK, CLIReporter

    return CLIReporter() if IS_NOTEBOOK else None  # elsewhere Tune warns about any reporter


def _resources(asked: dict[str, float], task: dict[str, Any]) -> Any:  # noqa: ANN401 - Tune's PlacementGroupFactory
    """Return what Ray reserves for a task, and on which machines."""
    from ray import tune

    bundle = asked | ({"GPU": 1.0} if task["alone"] and asked["GPU"] else {})  # on the CPU, the driver runs it alone
    if not task["avoid"]:
        return tune.PlacementGroupFactory([bundle])
    elsewhere = {"ray.io/node-id": f"!in({','.join(task['avoid'])})"}
    return tune.PlacementGroupFactory([bundle], bundle_label_selector=[elsewhere])
