"""The trials of one run of a sweep: what its record says is left, handed to an executor until nothing is left."""

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
from tune_jobs.results.columns import possible, varying
from tune_jobs.results.summary import Summary, summary
from tune_jobs.search.base import SearchMethod
from tune_jobs.system.signals import Signals
from tune_jobs.worker.task import Task

STOPPING = "stopping: every trial ends after its epoch and keeps its state; Ctrl-C again stops now"

SHOW_EVERY_S = 0.2
"""The live table is redrawn no more often than this."""

Reopen = Callable[[Ledger], frozenset[str]]
"""Makes ended trials due again; the run keys of those that are to be run."""


@dataclass(frozen=True)
class Sweep:
    """A sweep whose lease is held."""

    spec: SweepSpec
    folder: SweepFolder
    ledger: Ledger
    progress: Progress
    signals: Signals


class Keeps(Observer, Protocol):
    """Which checkpoints stay."""

    def tidy(self) -> None:
        """Look at every trial; for the start of a run, when nothing is being written."""


@dataclass(frozen=True)
class Work:
    """What is to be done in a sweep's folder other than its search."""

    search_of: Callable[[Ledger], SearchMethod]
    """What to run, from the record."""

    retention: Keeps
    summary: Callable[[], Summary]
    """How it stands, for who watches."""

    verb: str
    """The command that goes on with it."""

    configs: Sequence[TrialConfig]
    """Some of what it may run: what differs among these tells its trials apart."""

    conclude: Callable[[], None] = lambda: None
    """Records what it has come to, once it runs no more for now."""


class Beside:
    """Is told that there is something to train, and what then happens. This one does nothing."""

    def begin(self) -> None:
        """There is something to train."""

    def take(self, event: Event) -> None:
        """Note an event."""


def run_trials(
    sweep: Sweep,
    open_executor: OpenExecutor,
    *,
    address: str | None = None,
    reopen: Reopen | None = None,
    beside: Beside | None = None,
    work: Work | None = None,
) -> tuple[bool, Halt | None]:
    """Run what is left of a sweep.

    Args:
        sweep: What to run.
        open_executor: Opens what runs trials, if there is something to train.
        address: A Ray cluster; a local Ray if `None`.
        reopen: See `tune_jobs.driver.run.run`.
        beside: Is told before that, and then of every event.
        work: What to run, if that is not the sweep's search.

    Returns:
        Whether the space was used up, and what ended the run early.
    """
    from tune_jobs.search.queue import Search

    spec, folder, ledger = sweep.spec, sweep.folder, sweep.ledger
    verb = RESUME if work is None else work.verb
    check = partial(halt_for_limits, spec, folder, ledger, failures=reopen is None and work is None, verb=verb)
    if reopen is not None and (halt := check()) is not None:  # before the trials are due: the command can be repeated
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
                ledger.meta.halted = None  # what is said of the search holds as long as the search rests
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
                raise  # else the signal went to Ray's processes, too
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
    """Run a search's trials until nothing more is to be waited for."""
    while True:
        controller.start_more()
        if controller.over():
            return
        for update in executor.poll(controller.patience_s):
            controller.take(update)
        controller.tick()


def task_of(spec: SweepSpec, folder: SweepFolder, job: Job) -> Task:
    """What a worker is told of a job."""
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
    """Passes events on to who watches, with the summary from time to time."""

    def __init__(self, sweep: Sweep, work: Work | None) -> None:
        self._sweep = sweep
        self._show_next = 0.0
        configs = possible(sweep.spec) if work is None else work.configs
        self._summary = work.summary if work else (lambda: summary(sweep.spec.name, sweep.ledger, configs))
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
