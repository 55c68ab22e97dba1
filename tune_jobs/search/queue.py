"""The search of a sweep: retries first, then further seeds, then proposals of the study.

The search has no separate state: it is rebuilt from the past of its sweep.
"""

import bisect
import heapq
from collections.abc import Collection, Mapping
from operator import itemgetter
from typing import ClassVar

from search_spaces import SweepSpec, TrialConfig, canonical, run_key
from tune_jobs.events import Ended, EpochEnded, Failed, StopAsked
from tune_jobs.failures import Failure, alone, state_after, what_follows
from tune_jobs.record.rows import ENDED, Ask, Epoch, State, Trial
from tune_jobs.search.base import (
    Asked,
    Event,
    Follow,
    Judgement,
    Operation,
    Past,
    Proposal,
    Settled,
    Start,
    Stop,
    StoppedBy,
)
from tune_jobs.search.enough import EndOfSearch
from tune_jobs.search.repeats import Repeats
from tune_jobs.search.samplers.leftover import draw_unused
from tune_jobs.search.study import Answer, Study

MISSES_IN_A_ROW = 200
"""Number of infeasible or known configurations in a row after which the search draws uniformly from the unused ones."""


class Search:
    """Decides for one sweep; see `tune_jobs.search.base.SearchMethod`."""

    misses_in_a_row: ClassVar[int] = MISSES_IN_A_ROW

    def __init__(self, spec: SweepSpec, past: Past | None = None, only: Collection[str] | None = None) -> None:
        """Rebuild the search from the past; unfinished trials are pending again.

        With `only`, only trials with these run keys are started.
        """
        past = past or Past()
        self.spec = spec
        self.exhausted = past.exhausted
        self._elsewhere = past.elsewhere
        self.gave_up = False
        self.settled: list[Settled] = []
        self.study = Study(spec)
        self._misses = 0  # asks in a row that were infeasible or known
        self._failures: dict[str, list[tuple[Failure | None, bool]]] = {}  # by run_key: see `what_follows`
        self._gained: set[tuple[str, int]] = set()  # attempts that advanced their trial by an epoch
        self._excluded = frozenset(past.excluded)
        self._infeasible: set[str] = set(past.out_of_memory) - self._excluded
        self._to_stop: set[str] = set()  # on a user's request, after their next new epoch
        self._only = only
        self._repeats = Repeats(spec.search.repeats, past.trials)
        self._end = EndOfSearch(spec)
        self._numbers: dict[str, int] = {trial.run_key: trial.number for trial in past.trials}
        self._configs: dict[str, TrialConfig] = {trial.run_key: trial.config for trial in past.trials}  # until they end
        self._recorded: dict[str, str] = {}  # by the key that a trial has today: the first trial that did not fail
        firsts = [trial for trial in past.trials if trial.run_key not in self._repeats.first_of]
        for trial in sorted(firsts, key=lambda trial: trial.state == "failed" or trial.run_key in self._excluded):
            self._recorded.setdefault(run_key(trial.config), trial.run_key)
        self._due: list[str] = []
        self._due_alone: list[str] = []
        cut_off = self._replay(past)
        self._take_up(past, cut_off)

    def _replay(self, past: Past) -> dict[str, tuple[int, StoppedBy]]:
        """Replay all events to the study in their original order, without the values of excluded trials.

        Returns:
            The attempt that was about to stop when the driver died, and what stopped it, by run key.
        """
        events: list[tuple[int, Ask | Epoch | Trial | str]] = [(ask.seq, ask) for ask in past.asks]
        events += [(trial.ended_seq, trial) for trial in past.trials if trial.ended_seq is not None]
        events += [(seq, key) for key, seq in past.to_stop.items()]
        events.sort(key=itemgetter(0))
        epochs = ((epoch.seq, epoch) for epoch in past.epochs if epoch.run_key not in self._excluded)
        cut_off: dict[str, tuple[int, StoppedBy]] = {}
        for _, event in heapq.merge(events, epochs, key=itemgetter(0)):
            if isinstance(event, Ask):
                self._ask_again(event)
            elif isinstance(event, Epoch):
                cut_off.pop(event.run_key, None)  # it continued: the rule decided again with more trials to compare
                by = self._observe(event.run_key, event.attempt, event.epoch, event.metrics)
                if by is not None:
                    cut_off[event.run_key] = event.attempt, by
            elif isinstance(event, str):
                self._to_stop.add(event)
            else:
                self._finish(event.run_key, "failed" if event.run_key in self._excluded else event.state)
        return cut_off

    def _ask_again(self, ask: Ask) -> None:
        answer = self.study.ask(ask.decisions)
        assert answer is not None
        self._misses = 0 if ask.outcome == "new" else self._misses + 1
        if ask.run_key is None:
            self.study.refuse(answer)
        else:
            self.study.join(ask.run_key, answer, self._infeasible)

    def _take_up(self, past: Past, cut_off: dict[str, tuple[int, StoppedBy]]) -> None:
        """Count how attempts ended, settle ends that a dead driver did not record, and mark the rest as pending."""
        trials = {trial.run_key: trial for trial in past.trials}
        last: dict[str, int] = {}
        for attempt in past.attempts:
            last[attempt.run_key] = attempt.attempt
            if attempt.attempt > trials[attempt.run_key].retried_after:
                self._count(attempt.run_key, attempt.attempt, attempt.failure)
        for key, trial in trials.items():
            if trial.state in ENDED:
                continue
            if key in self._excluded:
                self._finish(key, "failed")
            elif key in cut_off:
                self.settled.append(Settled(key, *cut_off[key]))
                self._finish(key, "stopped")
            elif self.study.knows(key, trial.config.training.epochs):
                self.settled.append(Settled(key, last[key], None))
                self._finish(key, "complete")
            elif self._only is None or key in self._only:
                self._put_due(key)

    @property
    def planned(self) -> int | None:
        """Number of configurations to try; `None` if the search ends only when the space is exhausted."""
        return getattr(self.spec.search, "trials", None)

    @property
    def enough(self) -> Judgement | None:
        """Why no new trial starts although more are planned, if `stopping.enough` is reached."""
        return None if self._used_up else self._end.judge(self.study, self._to_stop)

    @property
    def done(self) -> bool:
        """Whether every trial has ended: all planned ones, or all of the space."""
        return not self._due and not self._due_alone and self._all_begun

    @property
    def idle(self) -> bool:
        """Whether nothing can start now; the loss of a running trial changes that."""
        return not self._due and not self._due_alone and (self._all_begun or self.held_back)

    @property
    def only_alone_left(self) -> bool:
        """Whether all trials that can start now must run alone."""
        return bool(self._due_alone) and not self._due and (self._all_begun or self.held_back)

    @property
    def held_back(self) -> bool:
        """Whether only `budget.trials` prevents another trial from starting."""
        most = self.spec.budget.trials
        return not self._all_begun and most is not None and self._elsewhere + len(self._numbers) >= most

    @property
    def _next_number(self) -> int:
        return self._elsewhere + len(self._numbers) + 1

    @property
    def _all_begun(self) -> bool:
        return self._only is not None or (self._all_asked and not self._repeats.missing)

    @property
    def _used_up(self) -> bool:
        reached = self.planned is not None and self._repeats.configurations >= self.planned
        return reached or self.exhausted or self.gave_up

    @property
    def _all_asked(self) -> bool:
        return self._used_up or self.enough is not None

    def propose(self, *, alone_too: bool = True) -> Proposal:
        """Return what to start next, if anything can start now.

        Pending trials come first, then further seeds of configurations whose first seed is complete, then new
        configurations. Trials that must run alone come last, so that no other trial waits for them, and only with
        `alone_too`.
        """
        asked: list[Asked] = []
        key = self._due.pop(0) if self._due else None
        repeat = self._repeat() if key is None else None
        key = key or repeat or self._new(asked)
        if key is None and self._due_alone and alone_too:
            key = self._due_alone.pop(0)
        if key is None:
            return Proposal(asked)
        first, alone = self._repeats.first_of.get(key), self._runs_alone(key)
        start = Start(key, self._numbers[key], self._configs[key], alone, first, unasked=repeat is not None)
        return Proposal(asked, start)

    def tell(self, event: Event) -> list[Operation]:
        """Handle an event, and return what to do about it."""
        key, attempt = event.job.place
        if isinstance(event, EpochEnded):
            by = self._observe(key, attempt, event.epoch, event.metrics)
            return [Stop(key, by)] if by is not None else []
        if isinstance(event, StopAsked):
            self._to_stop.add(key)
            return []
        if isinstance(event, Failed):
            return [self._fail(key, attempt, event.failure)]
        assert isinstance(event, Ended)
        self._count(key, attempt, None)
        if event.state in ENDED:
            self._finish(key, event.state)
        else:
            self._put_due(key)
        return []

    def _fail(self, key: str, attempt: int, failure: Failure) -> Follow:
        self._count(key, attempt, failure)
        follows = what_follows(self._failures[key])
        if follows != "final":
            self._put_due(key)
            return Follow(key, follows)
        if failure == "oom":
            self._infeasible.add(key)
        self._finish(key, state_after(failure, follows))
        return Follow(key, follows)

    def _finish(self, key: str, state: State) -> None:
        """Report a trial's end to the study, once; a configuration with several seeds is also reported once."""
        config = self._configs.pop(key, None)
        if config is None:
            return
        first = self._repeats.first_of.get(key, key)
        told = self._repeats.end(key, config, state, self.study.last(key))
        if told is not None:
            infeasible = told.state == "failed" and first in self._infeasible
            self.study.finish(first, told.state, infeasible=infeasible, value=told.mean)
        elif key == first and state == "complete":
            self.study.await_others(key)

    def _count(self, key: str, attempt: int, failure: Failure | None) -> None:
        self._failures.setdefault(key, []).append((failure, (key, attempt) in self._gained))

    def _runs_alone(self, key: str) -> bool:
        return alone(failure for failure, _ in self._failures.get(key, ()))

    def _put_due(self, key: str) -> None:
        """Add a pending trial, in the order of trial numbers, as after a restart."""
        due = self._due_alone if self._runs_alone(key) else self._due
        bisect.insort(due, key, key=self._numbers.__getitem__)

    def _observe(self, key: str, attempt: int, epoch: int, metrics: Mapping[str, float]) -> StoppedBy | None:
        """Note an epoch, and return what stops the trial there. A repeated epoch counts once, and stops nothing."""
        if self.study.knows(key, epoch):
            return None
        self._gained.add((key, attempt))
        by_rule = self.study.observe(key, epoch, metrics)  # the rule ignores further seeds
        if key not in self._configs or epoch >= self._configs[key].training.epochs:
            return None
        return "rule" if by_rule else "hand" if key in self._to_stop else None

    def _repeat(self) -> str | None:
        """Return the run key of the next seed of a configuration, if one may be started."""
        if self._only is not None or not self._repeats.missing or self.held_back:
            return None
        key, _, config = self._repeats.next()
        self._numbers[key], self._configs[key] = self._next_number, config
        return key

    def _new(self, asked: list[Asked]) -> str | None:
        """Return the run key of a new configuration's first trial, if one may be started.

        Every ask is appended to `asked`.
        """
        if self._only is not None or self._all_asked or self.held_back:
            return None
        while (answer := self._ask()) is not None:
            if next(self.spec.infeasibilities(answer.config), None) is not None:
                asked.append(Asked(answer.decisions, "infeasible", None))
                self.study.refuse(answer)
            elif (key := self._key(answer.config)) in self.study.states:
                asked.append(Asked(answer.decisions, "duplicate", key))
                self.study.join(key, answer, self._infeasible)
            else:
                config = canonical(answer.config)
                asked.append(Asked(answer.decisions, "new", key, config))
                self._begin(key, config)
                self.study.join(key, answer)
                self._misses = 0
                return key
            self._misses += 1
        if not self.spec.space.is_small() and not self.study.goes_through_all:
            self.gave_up = True
        else:
            self.exhausted = True
        return None

    def _begin(self, key: str, config: TrialConfig) -> None:
        """Note the first trial of a configuration."""
        self._numbers[key], self._configs[key] = self._next_number, config
        self._repeats.begin(key, self._numbers[key], config)

    def _ask(self) -> Answer | None:
        """Ask the sampler; after many misses in a row, draw from the remaining configurations."""
        if self._misses < self.misses_in_a_row or self.study.goes_through_all:
            return self.study.ask()
        point = draw_unused(self.spec.space, self.study.seed, self._is_unused)
        return None if point is None else self.study.ask(point)

    def _is_unused(self, config: TrialConfig) -> bool:
        return next(self.spec.infeasibilities(config), None) is None and self._key(config) not in self.study.states

    def _key(self, config: TrialConfig) -> str:
        """Return the run key under which a configuration is or will be recorded."""
        key = run_key(config)
        return self._recorded.get(key, key)
