"""The desk of one run of Tune: which jobs are under way, what is recorded of them, and when the run is over.

Tune comes to it by the hooks of `tune_jobs.executors.ray_tune.hooks`. An exception in any of them would end every
trial, so what goes wrong is kept, and raised after Tune has ended.
"""

import contextlib
import functools
import json
import math
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from ray.tune.search import Searcher

from tune_jobs.driver.limits import Halt
from tune_jobs.driver.placement import Machines
from tune_jobs.errors import ClusterError
from tune_jobs.executors.ray_tune.session import per_trial
from tune_jobs.executors.ray_tune.worker_loss import kill_worker
from tune_jobs.failures import Failure, Next, state_after
from tune_jobs.search.queue import BY_THE_RULE, Job, Search

NOT_STARTED_AT_MOST = 3
"""Workers in a row that may fail to start for one trial, while none starts for any, before the sweep gives up."""

TICK_S = 2.0
"""Limits are looked at, and what attempts have held is recorded, this often."""

GRACE_S = 60.0
"""How long a sweep that stops waits for running trials to end their epoch and keep their state."""

NO_ROOM_S = 60.0
"""How long all trials may wait for a machine before it is asked whether there is one."""

SILENT_S, SILENT_EPOCHS = 600.0, 20
"""A worker that ends no epoch for so long, and for so many times its last one, hangs."""

FIRST_S = 3600.0
"""The same before an attempt's first epoch, and for so many times the longest of any trial."""

SAVE_S = 10.0
"""How long a state may take to be kept."""


@dataclass
class Running:
    """A job under way, as the driver sees it."""

    job: Job
    tune_trial: Any = None
    asked: float = field(default_factory=time.monotonic)
    """When it was handed to Tune; a monotonic time."""

    started: float | None = None
    """When its worker was there; a monotonic time."""

    begun: bool = False
    """Whether the worker has said a word."""

    node: str | None = None
    reported: float = 0.0
    """When its last epoch ended; a monotonic time."""

    epoch_s: float | None = None
    overdue: bool = False
    """Whether it was killed for its time limit."""

    blind: str | None = None
    """Why it was killed, if its machine does not see the sweep's folder."""

    lost: tuple[Failure, str] | None = None
    """How its worker died."""

    def silent_s(self, longest_epoch_s: float) -> float:
        """Seconds without a sign after which it hangs: no limit where no trial has ended an epoch."""
        if self.epoch_s is not None:
            return max(SILENT_S, SILENT_EPOCHS * self.epoch_s)
        return max(FIRST_S, SILENT_EPOCHS * longest_epoch_s) if longest_epoch_s else math.inf


@dataclass(frozen=True)
class Over:
    """A job that has ended, while Tune still has its worker."""

    job: Job
    state: str
    tune_trial: Any
    since: float = field(default_factory=time.monotonic)


class Desk:
    """What Searcher, scheduler, stopper and callback share: the jobs under way, by Tune's trial id."""

    def __init__(
        self,
        search: Search,
        task_of: Callable[[Job], dict[str, Any]],
        tell: Callable[[str, Job, dict[str, Any]], None],
        check: Callable[[], Halt | None] = lambda: None,
        *,
        charge: Callable[[dict[tuple[str, int], float]], None] = lambda _: None,
        max_trial_s: Callable[[Job], float | None] = lambda _: None,
        begin_stop: Callable[[], None] = lambda: None,
        room: Callable[[Collection[str]], int] = lambda _: sys.maxsize,
    ) -> None:
        """Make a desk for one run of Tune.

        Args:
            search: What to try.
            task_of: What a worker is told.
            tell: Called as `tell(event, job, details)` for `start`, `origin`, `epoch`, `end`, and `over` once the
                worker of an ended job writes no more.
            check: The limit that is reached, if one is.
            charge: Records for how long attempts, by (run_key, attempt), have held their resources.
            max_trial_s: Seconds that a job may take, if there is a limit.
            begin_stop: Lets the workers know that the sweep is stopping.
            room: How many trials may run at a time, on all machines but these.
        """
        self.search = search
        self.task_of = task_of
        self.tell = tell
        self.running: dict[str, Running] = {}
        self.error: BaseException | None = None
        self.halt: Halt | None = None
        self._over: dict[str, Over] = {}
        self._check = check
        self._charge = charge
        self._max_trial_s = max_trial_s
        self._begin_stop = begin_stop
        self._not_started: dict[str, int] = {}  # by run_key: workers in a row
        self._machines = Machines(room)
        self._longest_epoch_s = 0.0
        self._next_tick = 0.0
        self._deadline = 0.0

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

    def stop(self, halt: Halt) -> None:
        """Start nothing new; running trials keep their state after their epoch, if that is soon.

        The first halt counts, but a patient one gives way to one that is not.
        """
        if self.halt is None or (self.halt.patient and not halt.patient):
            self.halt = halt
            self._deadline = math.inf if halt.patient else time.monotonic() + GRACE_S
            with contextlib.suppress(OSError):  # the disk may be full; the workers are then killed in time
                self._begin_stop()

    @property
    def stopping(self) -> bool:
        """Whether nothing new is to be started."""
        return self.halt is not None or self.error is not None

    def next(self, trial_id: str) -> dict[str, Any] | str | None:
        """The task of the next job; Tune's FINISHED where there will be none, `None` where there is none now."""
        room = self._machines.have_room_beside(len(self.running))
        if self.search.idle or self._waits() or not room:  # a running trial may be lost, and then be due again
            return None if self.running and not self.stopping else str(Searcher.FINISHED)
        self.tick(at_once=True)
        shares = bool(self.search.spec.resources.gpus_per_trial) or not self.running
        job = None if self.stopping else self.search.next(alone_too=shares)
        if job is None:
            return None if self.running and not self.stopping else str(Searcher.FINISHED)
        self.running[trial_id] = Running(job)
        self.tell("start", job, {})
        avoided = self._machines.avoided(job.run_key)
        return self.task_of(job) | ({"avoid": sorted(avoided)} if avoided else {})

    def _waits(self) -> bool:
        """Whether a trial is, or is to be, the only one of the sweep; with a GPU Ray sees to that."""
        if self.search.spec.resources.gpus_per_trial or not self.running:
            return False
        return self.search.only_alone_left or any(run.job.alone for run in self.running.values())

    def end(self, trial_id: str, state: Any, reason: str | None = None) -> None:  # noqa: ANN401 - a State
        """Record that a job ended as it should or with the sweep, once."""
        run = self._take(trial_id)
        if run is not None:
            self._over[trial_id] = Over(run.job, state, run.tune_trial)
            self.search.end(run.job, state, reason)
            self.tell("end", run.job, {"state": state, "reason": reason, "failure": None, "follows": None})

    def fail(self, trial_id: str, failure: Failure, reason: str) -> None:
        """Record that a job failed, once, and do what follows."""
        run = self._take(trial_id)
        if run is None:
            return
        if failure == "data":
            self._machines.lacked_data(run.node, run.job.run_key)
        follows: Next = self.search.fail(run.job, failure, reason)
        state = state_after(failure, follows)
        self._over[trial_id] = Over(run.job, state, run.tune_trial)
        self.tell("end", run.job, {"state": state, "reason": reason, "failure": failure, "follows": follows})
        if follows == "pause":
            way_out = f"make room in the sweep's folder, then: convnn resume {self.search.spec.name}"
            self.stop(Halt("disk", f"trial {run.job.number} found no room: {reason}; {way_out}"))

    def over(self, trial_id: str, *, error: bool) -> None:
        """Tune is done with a trial: whatever is not recorded by now is."""
        run = self.running.get(trial_id)
        if run is None:
            pass
        elif run.overdue:
            self.fail(trial_id, "time_limit", "resources.max_trial_hours is used up")
        elif run.blind is not None:
            self.end(trial_id, "interrupted", run.blind)
        elif error and not run.begun and not self.stopping:
            self._no_start(trial_id, run.job)
        elif self.stopping:
            self.end(trial_id, "interrupted", "the sweep was stopped")
        elif error:
            self.fail(trial_id, *(run.lost or ("lost_worker", "the worker process died")))
        else:
            self.fail(trial_id, "lost_worker", "the worker ended without its last epoch")
        if trial_id in self._over:
            ended = self._over.pop(trial_id)
            self.tell("over", ended.job, {"state": ended.state})

    def _take(self, trial_id: str) -> Running | None:
        run = self.running.pop(trial_id, None)
        if run is not None:
            self._charge({(run.job.run_key, run.job.attempt): self._held(run)})
        return run

    def _no_start(self, trial_id: str, job: Job) -> None:
        """Not the trial's fault, so it is due again, but not for ever."""
        self.end(trial_id, "interrupted", "the worker process did not start")
        self._not_started[job.run_key] = self._not_started.get(job.run_key, 0) + 1
        if self._not_started[job.run_key] < NOT_STARTED_AT_MOST:
            return
        if not any(run.begun for run in self.running.values()):  # else the others go on meanwhile
            raise ClusterError(
                f"{NOT_STARTED_AT_MOST} worker processes in a row did not start; Ray's logs say why "
                f"(/tmp/ray/session_latest/logs on the machine that runs Ray). The same command goes on."
            )

    def record(self, trial_id: str, report: dict[str, Any]) -> bool:
        """Take a report of a worker; true if its trial should stop."""
        run = self.running.get(trial_id)
        if run is None or run.blind is not None:
            return False
        job, kind = run.job, report["kind"]
        if kind == "begin":
            run.begun, run.node = True, report["node"]
            self._not_started.clear()
            self.search.begun(job, report["host"])
            self._look(run, report["host"], shared=report["shared"])
        elif kind == "origin":
            run.reported = time.monotonic()
            self.search.origin(job, report["epoch"], report["note"], report["device"])
            self.tell("origin", job, {"epoch": report["epoch"], "note": report["note"]})
        elif kind == "epoch":
            return self._epoch(trial_id, run, report["epoch"], json.loads(report["metrics"]))
        elif kind == "stopped":
            self.end(trial_id, "interrupted", "the sweep was stopped")
        else:
            self.fail(trial_id, report["failure"], report["reason"])
        return False

    def _look(self, run: Running, host: str, *, shared: bool) -> None:
        """One machine that does not see the sweep's folder is done without; where none does, the folder is wrong."""
        if not self._machines.saw_folder(run.node, shared=shared):
            raise ClusterError(
                f"a worker on {host} does not see the sweep's folder, where it would write its log and checkpoints; "
                f"give a --storage that every machine of the cluster has under the same path."
            )
        if not shared:
            run.blind = f"{host} does not see the sweep's folder, and is done without until it is mounted there"
            kill_worker(run.tune_trial)

    def _epoch(self, trial_id: str, run: Running, epoch: int, metrics: dict[str, float]) -> bool:
        now = time.monotonic()
        run.epoch_s, run.reported = now - run.reported, now
        self._longest_epoch_s = max(self._longest_epoch_s, run.epoch_s)
        stop = self.search.report(run.job, epoch, metrics)
        self.tell("epoch", run.job, {"epoch": epoch, "metrics": metrics})
        if epoch == run.job.config.training.epochs:
            self.end(trial_id, "complete")
        elif stop:
            self.end(trial_id, "stopped", BY_THE_RULE)
            return True
        return False

    def tick(self, *, at_once: bool = False) -> None:
        """Record what is held, kill what is overdue, and stop at a limit."""
        now = time.monotonic()
        if now < self._next_tick and not at_once:
            return
        self._next_tick = now + TICK_S
        self._charge({(run.job.run_key, run.job.attempt): self._held(run) for run in self.running.values()})
        for run in self.running.values():
            limit = None if run.started is None or run.overdue else self._max_trial_s(run.job)
            if limit is not None and self._held(run) >= limit:
                run.overdue = True
                kill_worker(run.tune_trial)
            elif run.started is not None and now - max(run.started, run.reported) > run.silent_s(self._longest_epoch_s):
                run.lost = "lost_worker", "the worker hung"
                kill_worker(run.tune_trial)
        for ended in self._over.values():
            if now - ended.since > SILENT_S:
                kill_worker(ended.tune_trial)
        if self.running and all(run.started is None for run in self.running.values()):
            self._look_for_room(now)
        halt = None if self.stopping else self._check()
        if halt is not None:
            self.stop(halt)

    def _look_for_room(self, now: float) -> None:
        """Nothing runs and all wait: whether there is still a machine that could take a trial."""
        if now - min(run.asked for run in self.running.values()) < NO_ROOM_S:
            return
        if not self._machines.any_left():
            asked = per_trial(self.search.spec.resources)
            raise ClusterError(
                f"no machine of Ray is left that has {asked['CPU']:g} CPU and {asked['GPU']:g} GPU for a trial; "
                f"nothing is lost, and this goes on when there is one: convnn resume {self.search.spec.name}"
            )

    def all_over(self) -> bool:
        """Whether Tune should end now; what still runs is then killed, as Tune itself would wait for its epoch."""
        if not self.stopping:
            return False
        keeping = any(ended.state == "complete" for ended in self._over.values()) and time.monotonic() < self._deadline
        if self.error is None and (keeping or any(map(self._worth_waiting_for, self.running.values()))):
            return False
        for run in self.running.values():
            kill_worker(run.tune_trial)
        return True

    def _worth_waiting_for(self, run: Running) -> bool:
        """Whether the epoch under way is likely to end in time; in its first one, a trial has no speed yet."""
        if self.halt is not None and self.halt.patient:
            return run.begun
        if run.epoch_s is None:
            return False
        expected = run.reported + 1.5 * run.epoch_s + SAVE_S
        return time.monotonic() < expected <= self._deadline

    def _held(self, run: Running) -> float:
        return 0.0 if run.started is None else time.monotonic() - run.started
