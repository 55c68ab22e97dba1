"""Connects search, executor and record: tracks running jobs, records their results, decides when a run is over."""

import contextlib
import math
from collections.abc import Callable, Collection, Sequence

from search_spaces import SweepSpec
from tune_jobs.driver.limits import Halt
from tune_jobs.driver.past import STOPPED, record_proposal
from tune_jobs.driver.placement import Placement
from tune_jobs.driver.running import SILENT_S, Draining, Running
from tune_jobs.errors import ClusterError, RayError
from tune_jobs.events import (
    Ended,
    EpochEnded,
    Event,
    Failed,
    Job,
    Loading,
    Observer,
    Released,
    Resumed,
    Started,
    StopAsked,
)
from tune_jobs.executors.base import Executor, Gone, Loss, Reported, Update, WorkerUp
from tune_jobs.executors.capacity import per_trial
from tune_jobs.failures import Failure, state_after
from tune_jobs.record.port import Record
from tune_jobs.record.rows import State
from tune_jobs.search.base import Follow, SearchMethod, Start, Stop
from tune_jobs.worker.reports import AttemptFailed, Begun, EpochDone, Report, ResumedFrom, StoppedWithSweep
from tune_jobs.worker.task import Task

NOT_STARTED_AT_MOST = 3
"""If this many workers in a row fail to start for one trial, and no other trial runs, the sweep gives up."""

TICK_S = 2.0
"""Seconds between two checks of the limits. The time that attempts held resources is recorded as often."""

STOPPING_TICK_S = 0.2
"""While a sweep stops, seconds between two checks whether any trial is still worth waiting for."""

GRACE_S = 60.0
"""How long a stopping sweep waits for running trials to finish their epoch and save a checkpoint."""

NO_ROOM_S = 60.0
"""How long all trials may wait for a machine before the driver asks Ray whether a suitable one exists."""


class Controller:
    """One run of a sweep. Every event is written to the ledger first, then passed to the search and the observers."""

    def __init__(
        self,
        spec: SweepSpec,
        search: SearchMethod,
        ledger: Record,
        executor: Executor,
        task_of: Callable[[Job], Task],
        *,
        observers: Sequence[Observer] = (),
        check: Callable[[], Halt | None] = lambda: None,
        begin_stop: Callable[[], None] = lambda: None,
        asked_to_stop: Callable[[], Collection[str]] = tuple,
    ) -> None:
        """Create the controller; it starts no trial yet.

        Args:
            spec: The sweep.
            search: What to try.
            ledger: The record.
            executor: Where trials run.
            task_of: Returns the task that a worker receives for a job.
            observers: Receive every event, in this order.
            check: Returns the limit that has been reached, or `None`.
            begin_stop: Tells the workers that the sweep is stopping.
            asked_to_stop: Returns the run keys of trials that users asked to stop, each once.
        """
        self.halt: Halt | None = None
        self._spec = spec
        self._search = search
        self._ledger = ledger
        self._executor = executor
        self._task_of = task_of
        self._observers = observers
        self._check = check
        self._begin_stop = begin_stop
        self._asked_to_stop = asked_to_stop
        self._running: dict[str, Running] = {}  # by task
        self._draining: dict[str, Draining] = {}
        self._not_started: dict[str, int] = {}  # by run_key: workers in a row
        self._placement = Placement(executor)
        self._longest_epoch_s = 0.0
        self._charged = executor.now()
        self._missed_s = 0.0
        self._next_tick = -math.inf
        self._deadline = 0.0

    @property
    def stopping(self) -> bool:
        """Whether the sweep is stopping, so that no new trial starts."""
        return self.halt is not None

    @property
    def patience_s(self) -> float:
        """Seconds until `tick` should be called again."""
        return STOPPING_TICK_S if self.stopping else TICK_S

    def stop(self, halt: Halt) -> None:
        """Start no new trials. Running trials save a checkpoint after their epoch if it ends soon enough.

        The first stop reason counts, but one that is not patient replaces a patient one.
        """
        if self.halt is None or (self.halt.patient and not halt.patient):
            self.halt = halt
            self._deadline = math.inf if halt.patient else self._executor.now() + GRACE_S
            with contextlib.suppress(OSError):  # the disk may be full; the workers are then killed at the deadline
                self._begin_stop()

    def start_more(self) -> None:
        """Start pending trials while there is room."""
        while not self.stopping and self._may_start():
            self.tick(at_once=True)
            if self.stopping:
                return
            shares = bool(self._spec.resources.gpus_per_trial) or not self._running
            proposal = self._search.propose(alone_too=shares)
            record_proposal(self._ledger, self._search, proposal)
            if proposal.start is None:
                return
            self._start(proposal.start)

    def _may_start(self) -> bool:
        running = len(self._running)
        if self._search.idle or self._waits() or running >= (self._spec.resources.max_concurrent or math.inf):
            return False
        return self._placement.have_room_beside(running)

    def _waits(self) -> bool:
        """Whether to wait because a trial runs, or must run, alone. With GPUs the executor ensures this."""
        if self._spec.resources.gpus_per_trial or not self._running:
            return False
        return self._search.only_alone_left or any(run.job.alone for run in self._running.values())

    def _start(self, start: Start) -> None:
        resources = self._spec.resources
        gpus = 1.0 if start.alone and resources.gpus_per_trial else resources.gpus_per_trial
        attempt = self._ledger.start_attempt(start.run_key, gpus=gpus, cpus=resources.cpus_per_trial)
        job = Job(start.run_key, attempt, start.number, start.config, start.alone, start.repeat_of)
        task = self._task_of(job)
        self._running[task.id] = Running(job, self._executor.now(), paused_s=self._executor.paused_s())
        self._tell(Started(job))
        self._executor.start(task, self._placement.avoided(job.run_key))

    def take(self, update: Update) -> None:
        """Handle an update of the executor about a task."""
        run = self._running.get(update.task)
        if isinstance(update, Gone):
            if run is not None:
                self._gone(update.task, run, update.loss)
            if (ended := self._draining.pop(update.task, None)) is not None:
                self._tell(Released(ended.job, ended.state))
        elif run is not None and isinstance(update, WorkerUp):
            run.started = self._executor.now()
        elif run is not None and isinstance(update, Reported) and run.blind is None:
            self._reported(update.task, run, update.report)

    def _gone(self, task: str, run: Running, loss: Loss | None) -> None:
        """Handle the end of a worker: record how its job ended, unless that is already recorded."""
        if run.overdue:
            self._fail(task, "time_limit", "resources.max_trial_hours is used up")
        elif run.blind is not None:
            self._end(task, "interrupted", run.blind)
        elif loss is not None and not run.begun and not self.stopping:
            self._no_start(task, run.job)
        elif self.stopping:
            self._end(task, "interrupted", "the sweep was stopped")
        else:
            lost = run.lost or loss or Loss("lost_worker", "the worker ended without its last epoch")
            self._fail(task, lost.failure, lost.reason)

    def _no_start(self, task: str, job: Job) -> None:
        """Handle a worker that did not start. It is not the trial's fault, so the trial runs again, a few times."""
        self._end(task, "interrupted", "the worker process did not start")
        self._not_started[job.run_key] = self._not_started.get(job.run_key, 0) + 1
        if self._not_started[job.run_key] < NOT_STARTED_AT_MOST:
            return
        if not any(run.begun for run in self._running.values()):  # otherwise the other trials continue
            raise RayError(
                f"{NOT_STARTED_AT_MOST} worker processes in a row did not start; Ray's logs give the reason (on a "
                f"cluster machine in /tmp/ray/session_latest/logs). Rerun the same command to resume."
            )

    def _reported(self, task: str, run: Running, report: Report) -> None:
        job = run.job
        if isinstance(report, Begun):
            run.begun, run.node = True, report.node
            self._not_started.clear()
            self._ledger.set_host(*job.place, report.host)
            self._look(task, run, report)
            if report.shared:
                self._tell(Loading(job))
        elif isinstance(report, ResumedFrom):
            run.reported = self._executor.now()
            self._ledger.set_origin(*job.place, report.epoch, report.note, report.device, here=report.environment)
            self._tell(Resumed(job, report.epoch, report.note))
        elif isinstance(report, EpochDone):
            self._epoch(task, run, report)
        elif isinstance(report, StoppedWithSweep):
            self._end(task, "interrupted", "the sweep was stopped")
        else:
            assert isinstance(report, AttemptFailed)
            self._fail(task, report.failure, report.reason)

    def _look(self, task: str, run: Running, begun: Begun) -> None:
        """Exclude a machine that cannot see the sweep folder. If no machine can, the folder is wrong."""
        if not self._placement.saw_folder(run.node, shared=begun.shared):
            raise ClusterError(
                f"a worker on {begun.host} cannot see the sweep folder, where it writes its log and checkpoints; "
                f"choose a --storage that every machine of the cluster mounts at the same path."
            )
        if not begun.shared:
            run.blind = f"{begun.host} cannot see the sweep folder; excluded until it is mounted there"
            self._executor.kill(task)

    def _epoch(self, task: str, run: Running, done: EpochDone) -> None:
        job = run.job
        now, trained_s = self._executor.now(), done.metrics.get("epoch_s", 0.0)
        missed = run.ends_epoch(now, self._executor.paused_s(), trained_s, self._longest_epoch_s)
        self._missed_s = max(self._missed_s, missed)
        self._longest_epoch_s = max(self._longest_epoch_s, run.epoch_s or 0.0)
        ended = EpochEnded(job, done.epoch, done.metrics)
        self._ledger.add_epoch(*job.place, done.epoch, done.metrics)
        operations = self._search.tell(ended)
        self._tell(ended)
        if done.epoch == job.config.training.epochs:
            self._end(task, "complete")
        elif (stop := next((each for each in operations if isinstance(each, Stop)), None)) is not None:
            self._end(task, "stopped", STOPPED[stop.by])
            self._executor.stop(task)

    def _end(self, task: str, state: State, reason: str | None = None) -> None:
        """Record that a job ended normally, or because the sweep stopped."""
        run = self._take_off(task, state)
        self._ledger.end_attempt(*run.job.place, state, reason)
        ended = Ended(run.job, state, reason)
        self._search.tell(ended)
        self._tell(ended)

    def _fail(self, task: str, failure: Failure, reason: str) -> None:
        """Record that a job failed, and do what the failure policy says."""
        run = self._running[task]
        if failure == "data":
            self._placement.lacked_data(run.node, run.job.run_key)
        (follow,) = self._search.tell(Failed(run.job, failure, reason))
        assert isinstance(follow, Follow)
        state = state_after(failure, follow.follows)
        self._take_off(task, state)
        self._ledger.end_attempt(*run.job.place, state, reason, failure)
        self._tell(Ended(run.job, state, reason, failure, follow.follows))
        if follow.follows == "pause":
            way_out = f"free space in the sweep folder, then: convnn resume {self._spec.name}"
            self.stop(Halt("disk", f"trial {run.job.number} had no disk space: {reason}; {way_out}"))

    def _take_off(self, task: str, state: State) -> Running:
        run, now = self._running.pop(task), self._executor.now()
        self._ledger.charge({run.job.place: run.held_s(now)}, self._passed(now))
        self._draining[task] = Draining(run.job, state, now)
        return run

    def _tell(self, event: Event) -> None:
        for observer in self._observers:
            observer.take(event)

    def _passed(self, now: float) -> float:
        """Return the seconds since the wall time was last recorded, and reset the count."""
        passed, self._charged, self._missed_s = now - self._charged + self._missed_s, now, 0.0
        return passed

    def tick(self, *, at_once: bool = False) -> None:
        """Record resource use, kill overdue and hung workers, and stop if a limit is reached."""
        now = self._executor.now()
        if now < self._next_tick and not at_once:
            return
        self._next_tick = now + TICK_S
        self._ledger.charge({run.job.place: run.held_s(now) for run in self._running.values()}, self._passed(now))
        for task, run in self._running.items():
            limit = None if run.started is None or run.overdue else self._max_trial_s(run.job)
            if limit is not None and run.held_s(now) >= limit:
                run.overdue = True
                self._executor.kill(task)
            elif run.hangs(now, self._longest_epoch_s):
                run.lost = Loss("lost_worker", "the worker hung")
                self._executor.kill(task)
        for task, ended in self._draining.items():
            if now - ended.since > SILENT_S:
                self._executor.kill(task)
        if self._running and all(run.started is None for run in self._running.values()):
            self._look_for_room(now)
        for key in self._asked_to_stop():
            self._ask_to_stop(key)
        halt = None if self.stopping else self._check()
        if halt is not None:
            self.stop(halt)

    def _ask_to_stop(self, run_key: str) -> None:
        """Let a running trial end after its epoch, as a user asked; ignore trials that are not running."""
        run = next((run for run in self._running.values() if run.job.run_key == run_key), None)
        if run is not None and not run.to_stop:
            run.to_stop = True
            self._ledger.add_request(run_key, "stop")
            asked = StopAsked(run.job)
            self._search.tell(asked)
            self._tell(asked)

    def _max_trial_s(self, job: Job) -> float | None:
        hours = self._spec.resources.max_trial_hours
        return None if hours is None else hours * 3600 - self._ledger.seconds_before(*job.place)

    def _look_for_room(self, now: float) -> None:
        """If all trials have waited long for a machine, check that one exists that a trial fits on."""
        if now - min(run.asked for run in self._running.values()) < NO_ROOM_S:
            return
        if not self._placement.any_left():
            asked = per_trial(self._spec.resources)
            raise ClusterError(
                f"no machine in the Ray cluster has {asked['CPU']:g} CPU and {asked['GPU']:g} GPU for a trial any "
                f"more; nothing is lost. Once one is available, resume: convnn resume {self._spec.name}"
            )

    def over(self) -> bool:
        """Whether the run is over: no trial is left to start or to wait for."""
        if self.halt is None:
            return not self._running and not self._draining and self._search.idle
        now = self._executor.now()
        keeping = any(ended.state == "complete" for ended in self._draining.values()) and now < self._deadline
        return not keeping and not any(self._worth_waiting_for(run, now) for run in self._running.values())

    def _worth_waiting_for(self, run: Running, now: float) -> bool:
        patient = self.halt is not None and self.halt.patient
        return run.begun if patient else run.ends_epoch_by(now, self._deadline)

    def finish(self) -> None:
        """Record that the remaining trials were stopped with the sweep; call it once the executor is closed."""
        for task in list(self._running):
            self._end(task, "interrupted", "the sweep was stopped")
        for ended in self._draining.values():
            self._tell(Released(ended.job, ended.state))
        self._draining.clear()
