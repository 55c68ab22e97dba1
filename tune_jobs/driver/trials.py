"""Runs the remaining trials of a sweep on an executor."""

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from search_spaces import SweepSpec, TrialConfig
from tune_jobs.display.live import Progress
from tune_jobs.driver.controller import Controller
from tune_jobs.driver.limits import RESUME, Halt, budget_of_trials, found_enough, halt_for_limits, none_found
from tune_jobs.driver.past import past_of, settle
from tune_jobs.driver.retention import Retention
from tune_jobs.driver.stop import asked_to_stop, forget_requests
from tune_jobs.errors import ClusterError
from tune_jobs.events import Event, Job, Observer
from tune_jobs.executors.base import Executor, OpenExecutor, Order
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.plugins import digests_for
from tune_jobs.results.columns import fields, possible, varying
from tune_jobs.results.summary import Summary, summary
from tune_jobs.search.base import SearchMethod
from tune_jobs.system.signals import Signals
from tune_jobs.worker.task import Task

STOPPING = "stopping: every trial finishes its epoch and saves a checkpoint; Ctrl-C again stops immediately"

SHOW_EVERY_S = 0.2
"""The live table is redrawn no more often than this."""

Reopen = Callable[[Ledger], frozenset[str]]
"""Marks ended trials as pending again, and returns the run keys of the trials to run."""


@dataclass(frozen=True)
class Sweep:
    """A sweep whose lease is held."""

    spec: SweepSpec
    folder: SweepFolder
    ledger: Ledger
    progress: Progress
    signals: Signals


class Keeps(Observer, Protocol):
    """Decides which checkpoints to keep."""

    def tidy(self) -> None:
        """Remove unneeded checkpoints of all trials; call it at the start of a run, when no worker writes."""


@dataclass(frozen=True)
class Work:
    """Work in a sweep's folder other than its search."""

    search_of: Callable[[Ledger], SearchMethod]
    """Returns the trials to run, from the ledger."""

    retention: Keeps
    summary: Callable[[], Summary]
    """Returns the status, for the live display."""

    verb: str
    """The command that resumes it."""

    configs: Sequence[TrialConfig]
    """Some of its possible configurations; the fields that differ among them identify its trials in tables."""

    conclude: Callable[[], None] = lambda: None
    """Records its result, after the last trial of this run."""


class Beside:
    """Is told when training starts, and receives all events. This base class does nothing."""

    def begin(self) -> None:
        """Prepare for training: there is something to train."""

    def take(self, event: Event) -> None:
        """Handle an event."""


def run_trials(
    sweep: Sweep,
    open_executor: OpenExecutor,
    *,
    address: str | None = None,
    reopen: Reopen | None = None,
    beside: Beside | None = None,
    work: Work | None = None,
) -> tuple[bool, Halt | None]:
    """Run the remaining trials of a sweep.

    Args:
        sweep: The sweep.
        open_executor: Opens the executor, if there is something to train.
        address: The Ray cluster; a local Ray cluster if `None`.
        reopen: See `tune_jobs.driver.run.run`.
        beside: Is told before the executor opens, and then receives every event.
        work: The work to run instead of the sweep's search, if any.

    Returns:
        Whether the space is exhausted, and why the run stopped early, if it did.
    """
    from tune_jobs.search.queue import Search

    spec, folder, ledger = sweep.spec, sweep.folder, sweep.ledger
    verb = RESUME if work is None else work.verb
    check = partial(halt_for_limits, spec, folder, ledger, failures=reopen is None and work is None, verb=verb)
    if reopen is not None and (halt := check()) is not None:  # checked first, so that the command can be repeated
        return ledger.meta.exhausted, halt
    only = reopen(ledger) if reopen else None
    search = Search(spec, past_of(ledger), only) if work is None else work.search_of(ledger)
    settle(ledger, search.settled)
    retention: Keeps = Retention(folder, ledger, spec) if work is None else work.retention
    retention.tidy()
    halt = _enough(spec, search)
    if not search.done:
        halt = check()
        if halt is None and search.idle:
            halt = budget_of_trials(spec, verb)
        if halt is None:
            if work is None:
                ledger.meta.halted = None  # the old reason is valid only until the search runs again
            beside = beside or Beside()
            beside.begin()
            order = Order(spec.name, spec.resources, address, sweep.signals, sweep.progress.say)
            watch = _Watch(sweep, work)
            halt = _drive(sweep, search, (retention, beside, watch), check, open_executor(order))
            halt = halt or (budget_of_trials(spec, verb) if search.held_back else None)
            if search.done and halt is not None and halt.signal is None:
                halt = None  # the limit was reached with the last trial
            halt = halt or (none_found(spec) if search.gave_up else None) or _enough(spec, search)
    if work is not None:
        work.conclude()
    return search.exhausted, halt


def _enough(spec: SweepSpec, search: SearchMethod) -> Halt | None:
    return None if search.enough is None else found_enough(spec, search.enough)


def _drive(
    sweep: Sweep,
    search: SearchMethod,
    observers: tuple[Observer, ...],
    check: Callable[[], Halt | None],
    opened: AbstractContextManager[Executor],
) -> Halt | None:
    spec, folder, signals = sweep.spec, sweep.folder, sweep.signals
    with opened as executor:
        folder.stop_file.unlink(missing_ok=True)
        controller = Controller(
            spec,
            search,
            sweep.ledger,
            executor,
            partial(task_of, spec, folder),
            observers=observers,
            check=check,
            begin_stop=folder.stop_file.touch,
            asked_to_stop=partial(asked_to_stop, folder),
        )

        def on_first(number: int) -> None:
            controller.stop(Halt("signal", f"stopped by {signal.Signals(number).name}", number))
            sweep.progress.acknowledge(STOPPING)

        signals.on_first = on_first
        try:
            _until_over(controller, executor)
        except ClusterError:
            if controller.halt is None or controller.halt.signal is None:
                raise  # otherwise the signal reached Ray's processes as well
        finally:
            signals.on_first = None
            if not signals.twice:
                executor.close()
            folder.stop_file.unlink(missing_ok=True)
            forget_requests(folder)
            if not signals.twice:
                controller.finish()
    return controller.halt


def _until_over(controller: Controller, executor: Executor) -> None:
    """Run a search's trials until the run is over."""
    while True:
        controller.start_more()
        if controller.over():
            return
        for update in executor.poll(controller.patience_s):
            controller.take(update)
        controller.tick()


def task_of(spec: SweepSpec, folder: SweepFolder, job: Job) -> Task:
    """Return the task that a worker receives for a job."""
    resources = spec.resources
    return Task(
        run_key=job.run_key,
        attempt=job.attempt,
        config=job.config,
        alone=job.alone,
        folder=folder.attempt(job.run_key, job.attempt),
        resume_from=tuple(folder.checkpoints(job.run_key)),
        stop_file=folder.stop_file,
        ledger=folder.ledger,
        evaluation=spec.evaluation,
        device="cuda" if resources.gpus_per_trial > 0 else "cpu",
        threads=resources.cpus_per_trial,
        checkpoint_every_s=resources.checkpoint_every_s,
        keep_last=resources.keep_best > 0,
        plugins=digests_for(job.config),
    )


class _Watch:
    """Passes events to the live display, and a new summary from time to time."""

    def __init__(self, sweep: Sweep, work: Work | None) -> None:
        self._sweep = sweep
        self._show_next = 0.0
        configs = possible(sweep.spec) if work is None else work.configs
        search = partial(summary, sweep.spec.name, sweep.ledger, [*map(fields, configs)])
        self._summary = work.summary if work else search
        sweep.progress.expect(sweep.spec.metric, varying(configs))

    def take(self, event: Event) -> None:
        progress = self._sweep.progress
        progress.take(event)
        begun = time.monotonic()
        if begun < self._show_next:
            return
        progress.show(self._summary)
        spent = time.monotonic() - begun
        self._show_next = begun + max(SHOW_EVERY_S, 20 * spent)  # a large sweep's table costs at most a twentieth
