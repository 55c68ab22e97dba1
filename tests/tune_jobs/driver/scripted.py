"""A small sweep with every kind of failure, run in this process with a separate clock: no Ray, torch or images.

Each trial's fate follows from its run key, so it is the same however often the driver dies.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from search_spaces import SweepSpec, parse_sweep
from search_spaces.reading.load import with_trials
from tune_jobs.driver.restart import Selection
from tune_jobs.driver.trials import Reopen, Sweep, run_trials
from tune_jobs.events import Event
from tune_jobs.executors.base import Executor, Order
from tune_jobs.executors.inline import InlineExecutor, WorkerDied
from tune_jobs.failures import Failure
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.results.columns import Column
from tune_jobs.results.summary import Summary
from tune_jobs.system.signals import Signals
from tune_jobs.worker.reports import AttemptFailed, EpochDone, Report, ResumedFrom
from tune_jobs.worker.task import Task

TRIALS, MORE = 24, 6
RATES = [round(10 ** -(2 + step / 6), 6) for step in range(12)]
SPEC = f"""
name: scripted
space:
  model:
    width: 0.125
    layer:
      kind: hybrid
      lambda: {{choice: [0, 0.25, 0.5, 1]}}
      k: {{int: [1, 9]}}
      candidates: {{kind: random, r: 8, when_too_few: all}}
  training: {{lr: {{choice: {RATES}}}, epochs: 4}}
search: {{sampler: tpe, trials: {TRIALS}, seed: 0}}
stopping: {{kind: asha, grace_epochs: 1, reduction_factor: 3, max_failed_fraction: 1}}
resources: {{max_concurrent: 1, max_trial_hours: 0.003, min_free_gb: 0}}
"""

ASKED_IN = 2
"""The epoch in which some trials are asked to stop."""

ALWAYS, ONCE, UNLESS_ALONE = "always", "once", "unless alone"
FATES: list[tuple[Failure, str, int] | None] = [
    None,
    None,
    ("diverged", ALWAYS, 2),
    ("oom", ALWAYS, 1),
    ("oom", UNLESS_ALONE, 1),
    ("data", ALWAYS, 1),
    ("data", ONCE, 1),
    ("user_error", ALWAYS, 2),
    ("user_error", ONCE, 1),
    ("lost_worker", ONCE, 3),
    ("lost_node", ALWAYS, 2),
    ("preempted", ONCE, 1),
    ("disk_full", ONCE, 2),
    ("time_limit", ALWAYS, 1),
]
"""What happens to a trial: the failure, how often it happens, and in which epoch."""


def fate_of(run_key: str) -> tuple[Failure, str, int] | None:
    """Return the fate of a run from the digits of its key; it differs between seeds."""
    return FATES[(int(run_key[:6], 16) + int(run_key.rpartition("-s")[2])) % len(FATES)]


def accuracy(task: Task, epoch: int) -> float:
    """Return an accuracy that grows with the epoch, up to a height that depends on the configuration."""
    k: int = getattr(task.config.model.mixing_layer, "k", 1)
    height: float = 0.9 - abs(k - 5) / 50 - abs(task.config.training.lr - 0.001) * 10
    return height * (1 - 0.5**epoch)


class Script:
    """The objective: the ledger's content for a trial decides what happens next."""

    def __init__(self, ledger: Ledger, *, by_hand: bool = False) -> None:
        """With `by_hand`, a user asks to stop some of the trials during an epoch."""
        self._ledger = ledger
        self._by_hand = by_hand

    def __call__(self, task: Task) -> Iterator[Report]:
        done = max((epoch.epoch for epoch in self._ledger.epochs(task.run_key)), default=0)
        start = max(0, done - int(task.run_key[8], 16) % 2)  # some checkpoints are an epoch behind
        yield ResumedFrom(start, None, "cpu")
        for epoch in range(start + 1, task.config.training.epochs + 1):
            seconds = 1.0
            if epoch == ASKED_IN:
                self._ask_to_stop(task)
            if failure := self._fails(task, epoch):
                if failure in ("lost_worker", "lost_node", "preempted"):
                    raise WorkerDied(failure, "scripted", after_s=0.5)
                if failure != "time_limit":
                    yield AttemptFailed(failure, "scripted")
                    return
                seconds = 1000.0
            yield EpochDone(epoch, {"val/accuracy": accuracy(task, epoch), "epoch_s": seconds})

    def _ask_to_stop(self, task: Task) -> None:
        if self._by_hand and int(task.run_key[7], 16) % 2:
            folder = SweepFolder(self._ledger.path.parent).stop_trials
            folder.mkdir(exist_ok=True)
            (folder / task.run_key).touch()

    def _fails(self, task: Task, epoch: int) -> Failure | None:
        fate = fate_of(task.run_key)
        if fate is None or epoch != fate[2]:
            return None
        failure, how_often, _ = fate
        if how_often == UNLESS_ALONE:
            return None if task.alone else failure
        if how_often == ALWAYS:
            return failure
        earlier = [a.failure for a in self._ledger.attempts() if a.run_key == task.run_key]
        return None if failure in earlier else failure


class Unseen:
    """A live display that shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def say(self, text: str) -> None:
        """Ignore the text."""

    def take(self, event: Event) -> None:
        """Ignore the event."""

    def show(self, summary: Callable[[], Summary]) -> None:
        """Show nothing."""

    def expect(self, metric: str, columns: Sequence[Column]) -> None:
        """Ignore the columns."""

    def acknowledge(self, text: str) -> None:
        """Ignore the text."""


class WatchedLedger(Ledger):
    """Calls a function after every commit."""

    def __init__(self, path: Path, *, create: bool = False, now: Callable[[], float] = time.time) -> None:
        self.committed: Callable[[], None] = lambda: None
        super().__init__(path, create=create, now=now)

    @contextlib.contextmanager
    def _write(self) -> Iterator[int]:
        with super()._write() as seq:
            yield seq
        self.committed()


def run_once(
    spec: SweepSpec, folder: SweepFolder, ledger: Ledger, reopen: Reopen | None = None, *, by_hand: bool = False
) -> str | None:
    """Run one command of a sweep, and return why it stopped early."""

    @contextlib.contextmanager
    def opened(order: Order) -> Iterator[Executor]:
        assert order.sweep == spec.name
        yield InlineExecutor(Script(ledger, by_hand=by_hand))

    sweep = Sweep(spec, folder, ledger, Unseen(), Signals())
    _, halt = run_trials(sweep, opened, reopen=reopen)
    return halt.cause if halt else None


def nothing(ledger: Ledger) -> None:
    """Do nothing first."""
    del ledger


@dataclass(frozen=True)
class Command:
    """A command that a user runs, with the sweep file at that time."""

    spec: SweepSpec
    reopen: Reopen | None = None
    by_hand: bool = False
    """See `Script`."""

    before: Callable[[Ledger], None] = nothing
    """Called first, while no driver runs."""


FIRST = parse_sweep(SPEC)
COMMANDS = [
    Command(FIRST),
    Command(FIRST, Selection().reopen),
    Command(with_trials(FIRST, TRIALS + MORE)),
]
"""Run, retry --failed, extend."""


def exclude_one(ledger: Ledger) -> None:
    """Exclude the second trial."""
    ledger.add_request(ledger.trials()[1].run_key, "exclude", "scripted")


FEWER = with_trials(FIRST, 6)
BY_HAND = [
    Command(FEWER, by_hand=True),
    Command(FEWER, Selection(frozenset(), stopped=True).reopen),
    Command(with_trials(FIRST, 8), before=exclude_one),
]
"""Run, while a user stops trials; retry --stopped; exclude and extend."""


_FEW = ["search.trials=5", "search.seed=5", "stopping={kind: none, max_failed_fraction: 1}"]
TWO_SEEDS, THREE_SEEDS = (parse_sweep(SPEC, overrides=[*_FEW, f"search.repeats={n}"]) for n in (2, 3))
SEEDS = [Command(TWO_SEEDS), Command(TWO_SEEDS, Selection().reopen), Command(THREE_SEEDS, before=exclude_one)]
"""Run with two seeds of each configuration; retry --failed; exclude, and continue with three seeds."""


def to_the_end(
    folder: SweepFolder,
    ledger: Ledger,
    first: int = 0,
    *,
    begun: bool = False,
    commands: Sequence[Command] = COMMANDS,
) -> None:
    """Run the commands from `first` on, and resume each one until the disk is no longer full.

    With `begun`, the first command had started before its driver died, so it is resumed.
    """
    for number, command in enumerate(commands[first:]):
        reopen = None if begun and number == 0 else command.reopen
        if not (begun and number == 0):
            command.before(ledger)
        while run_once(command.spec, folder, ledger, reopen, by_hand=command.by_hand) is not None:
            reopen = None


def new_ledger(path: Path) -> WatchedLedger:
    """Create a ledger in which all times are 0."""
    return WatchedLedger(path, create=True, now=lambda: 0.0)
