"""What to try next, and what to stop: an Optuna study that lives in memory and is replayed from the ledger.

Every ask draws from the search's seed and the ask's number alone, so a search that was interrupted goes on exactly as
it would have. Ray is not imported here: `tune_jobs.driver.controller` hands its jobs to Ray Tune.
"""

import hashlib
import itertools
import math
import random
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import TrialState

from search_spaces import (
    Choice,
    Decided,
    Domain,
    IntRange,
    SweepSpec,
    TrialConfig,
    canonical,
    run_key,
)
from search_spaces.domains import Scalar
from search_spaces.sweep import Asha, Grid, Tpe
from tune_jobs.driver.limits import DRAWS
from tune_jobs.failures import Failure, Next, alone, state_after, what_follows
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import ENDED, State, Trial

MISSES_IN_A_ROW = 200
"""Infeasible or known configurations before the sampler gives way to a uniform draw from what is left."""

STARTUP_TRIALS = 10
"""TPE's random first trials, or a third of the search's if that is fewer."""

BY_THE_RULE = "by the stopping rule"
"""The reason that the ledger gives for a stopped trial."""


@dataclass(frozen=True)
class Job:
    """One attempt to run."""

    run_key: str
    attempt: int
    number: int
    config: TrialConfig
    alone: bool = False
    """Whether it gets a whole GPU, or on the CPU no other trial of the sweep beside it."""


class Search:
    """Decides for one sweep. Every call records in the ledger first, then tells the study."""

    def __init__(self, spec: SweepSpec, ledger: Ledger, only: Collection[str] | None = None) -> None:
        """Rebuild the search from everything the ledger holds; unfinished trials are due again.

        With `only`, no trial is started but those with these run keys.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.spec = spec
        self.exhausted = ledger.meta.exhausted
        self.gave_up = False
        """Whether no valid configuration was found any more, in a space that has no end."""

        self._ledger = ledger
        self._pruner = (
            optuna.pruners.SuccessiveHalvingPruner(
                min_resource=spec.stopping.grace_epochs, reduction_factor=spec.stopping.reduction_factor
            )
            if isinstance(spec.stopping, Asha)
            else optuna.pruners.NopPruner()
        )
        self._study = optuna.create_study(
            direction=spec.goal, pruner=self._pruner, sampler=optuna.samplers.RandomSampler(seed=0)
        )
        self._asks = 0
        self._misses = 0  # asks in a row that were infeasible or known
        self._live: dict[str, list[optuna.Trial]] = {}  # by run_key: the asks that wait for its end, the first runs
        self._history: dict[str, dict[int, float]] = {}  # by run_key: objective by epoch
        self._states: dict[str, State] = {}
        self._failures: dict[str, list[tuple[Failure | None, bool]]] = {}  # by run_key: see `what_follows`
        self._gained: set[tuple[str, int]] = set()  # attempts that brought their trial an epoch further
        self._infeasible: set[str] = set()  # trials that no GPU has the memory for
        self._only = only
        self._trials: dict[str, tuple[int, TrialConfig]] = {}
        self._due: list[str] = []
        self._due_alone: list[str] = []
        self._points = spec.space.points() if isinstance(spec.search, Grid) else iter(())
        self._replay()

    def _replay(self) -> None:
        """Let the study see again all that the ledger holds, in the order in which it happened."""
        trials = self._ledger.trials()
        self._infeasible = {key for key, failure in self._ledger.failures().items() if failure == "oom"}
        self._trials = {trial.run_key: (trial.number, trial.config) for trial in trials}
        events: list[tuple[int, Any]] = [(ask.seq, ask) for ask in self._ledger.asks()]
        events += [(epoch.seq, epoch) for epoch in self._ledger.epochs()]
        events += [(trial.ended_seq, trial) for trial in trials if trial.ended_seq is not None]
        cut_off: dict[str, int] = {}  # by run_key: the attempt that was to stop when the driver died
        for _, event in sorted(events, key=lambda pair: pair[0]):
            if hasattr(event, "decisions"):
                self._study.enqueue_trial(event.decisions)
                asked = self._ask(None)[0]
                self._misses = 0 if event.outcome == "new" else self._misses + 1
                if event.outcome == "infeasible":
                    self._study.tell(asked, state=TrialState.FAIL)
                else:
                    self._join(event.run_key, asked)
            elif hasattr(event, "metrics"):
                if self._observe(event.run_key, event.attempt, event.epoch, event.metrics):
                    cut_off[event.run_key] = event.attempt
            else:
                self._finish(event.run_key, event.state)
        self._take_up({trial.run_key: trial for trial in trials}, cut_off)
        if isinstance(self.spec.search, Grid):
            self._points = itertools.islice(self._points, self._asks, None)

    def _take_up(self, trials: dict[str, Trial], cut_off: dict[str, int]) -> None:
        """Count what attempts ended by, end what a dead driver had no time to end, and make the rest due."""
        last: dict[str, int] = {}
        for attempt in self._ledger.attempts():
            last[attempt.run_key] = attempt.attempt
            if attempt.attempt > trials[attempt.run_key].retried_after:
                self._count(attempt.run_key, attempt.attempt, attempt.failure)
        for key, trial in trials.items():
            if trial.state in ENDED:
                continue
            if key in cut_off:
                self._ledger.end_attempt(key, cut_off[key], "stopped", BY_THE_RULE)
                self._finish(key, "stopped")
            elif trial.config.training.epochs in self._history.get(key, {}):
                self._ledger.end_attempt(key, last[key], "complete")
                self._finish(key, "complete")
            elif self._only is None or key in self._only:
                self._put_due(key)

    @property
    def planned(self) -> int | None:
        """Trials that the search is to reach; `None` where only exhaustion tells."""
        return getattr(self.spec.search, "trials", None)

    @property
    def done(self) -> bool:
        """Whether every trial has ended: the planned ones, or all that the space has."""
        return not self._due and not self._due_alone and self._all_asked

    @property
    def idle(self) -> bool:
        """Whether there is nothing to start now; a running trial that is lost changes that."""
        return not self._due and not self._due_alone and (self._all_asked or self.held_back)

    @property
    def only_alone_left(self) -> bool:
        """Whether what can be started now is to run alone."""
        return bool(self._due_alone) and not self._due and (self._all_asked or self.held_back)

    @property
    def held_back(self) -> bool:
        """Whether only `budget.trials` keeps another trial from being started."""
        most = self.spec.budget.trials
        return not self._all_asked and most is not None and len(self._trials) >= most

    @property
    def _all_asked(self) -> bool:
        reached = self.planned is not None and len(self._trials) >= self.planned
        return reached or self.exhausted or self.gave_up or self._only is not None

    def next(self, *, alone_too: bool = True) -> Job | None:
        """The next attempt; `None` when there is nothing to start now.

        Trials that are due again come first, then new ones; trials that are to run alone come last, so that no other
        trial waits for them, and only with `alone_too`.
        """
        key = self._due.pop(0) if self._due else self._ask_for_one()
        if key is None and self._due_alone and alone_too:
            key = self._due_alone.pop(0)
        if key is None:
            return None
        number, config = self._trials[key]
        whole = alone(failure for failure, _ in self._failures.get(key, ()))
        resources = self.spec.resources
        gpus = 1.0 if whole and resources.gpus_per_trial else resources.gpus_per_trial
        attempt = self._ledger.start_attempt(key, gpus=gpus, cpus=resources.cpus_per_trial)
        return Job(key, attempt, number, config, whole)

    def _ask_for_one(self) -> str | None:
        """The key of a new trial, if one may be started and there is one."""
        if self._all_asked or self.held_back:
            return None
        key = self._new()
        if key is None and self.spec.space.continuous():
            self.gave_up = True
        elif key is None:
            self.exhausted = True
            self._ledger.meta.exhausted = True
        return key

    def report(self, job: Job, epoch: int, metrics: dict[str, float]) -> bool:
        """Record an epoch; true if the trial should stop now."""
        self._ledger.add_epoch(job.run_key, job.attempt, epoch, metrics)
        return self._observe(job.run_key, job.attempt, epoch, metrics)

    def begun(self, job: Job, host: str) -> None:
        """Record on which machine an attempt runs."""
        self._ledger.set_host(job.run_key, job.attempt, host)

    def origin(self, job: Job, epoch: int, note: str | None, device: str) -> None:
        """Record the epoch after which an attempt goes on, what was wrong with a checkpoint, and what it trains on."""
        self._ledger.set_origin(job.run_key, job.attempt, epoch, note, device)

    def end(self, job: Job, state: State, reason: str | None = None) -> None:
        """Record that an attempt ended as it should, or with the sweep."""
        self._ledger.end_attempt(job.run_key, job.attempt, state, reason)
        self._count(job.run_key, job.attempt, None)
        if state in ENDED:
            self._finish(job.run_key, state)
        else:
            self._put_due(job.run_key)

    def fail(self, job: Job, failure: Failure, reason: str) -> Next:
        """Record that an attempt failed; what follows (`tune_jobs.failures`) is seen to, but for a pause."""
        self._count(job.run_key, job.attempt, failure)
        follows = what_follows(self._failures[job.run_key])
        state = state_after(failure, follows)
        self._ledger.end_attempt(job.run_key, job.attempt, state, reason, failure)
        if follows == "final":
            if failure == "oom":
                self._infeasible.add(job.run_key)
            self._finish(job.run_key, state)
        else:
            self._put_due(job.run_key)
        return follows

    def _count(self, key: str, attempt: int, failure: Failure | None) -> None:
        self._failures.setdefault(key, []).append((failure, (key, attempt) in self._gained))

    def _put_due(self, key: str) -> None:
        whole = alone(failure for failure, _ in self._failures.get(key, ()))
        (self._due_alone if whole else self._due).append(key)

    def _new(self) -> str | None:
        """Ask, canonicalise, check, until a configuration is new; its key, or `None` if there is none left."""
        while True:
            if isinstance(self.spec.search, Grid):
                point = next(self._points, None)
            else:
                point = self._unused() if self._misses >= MISSES_IN_A_ROW else {}
            if point is None:
                return None
            if point:
                self._study.enqueue_trial(point)
            asked, config, decisions = self._ask(self._sampler())
            if next(self.spec.obstacles(config), None) is not None:
                self._ledger.add_ask(decisions, "infeasible", None)
                self._study.tell(asked, state=TrialState.FAIL)
            elif (key := run_key(config)) in self._states:
                self._ledger.add_ask(decisions, "duplicate", key)
                self._join(key, asked)
            else:
                config = canonical(config)
                self._ledger.add_trial(decisions, config, key)
                self._trials[key] = (len(self._trials) + 1, config)
                self._join(key, asked)
                self._misses = 0
                return key
            self._misses += 1

    def _unused(self) -> dict[str, Scalar] | None:
        """A uniform draw from the valid points not yet used; `None` if there is none, or none can be found."""
        space = self.spec.space
        if space.continuous():
            rng = random.Random(self._seed())
            draws = (space.draw(rng) for _ in range(DRAWS))
            return next((draw for draw in draws if self._is_unused(space.resolve(Decided(draw)))), None)
        configs = ((point, space.resolve(Decided(point))) for point in space.points())
        left = {run_key(config): point for point, config in configs if self._is_unused(config)}
        return random.Random(self._seed()).choice([left[key] for key in sorted(left)]) if left else None

    def _is_unused(self, config: TrialConfig) -> bool:
        return next(self.spec.obstacles(config), None) is None and run_key(config) not in self._states

    def _ask(self, sampler: optuna.samplers.BaseSampler | None) -> tuple[optuna.Trial, TrialConfig, dict[str, Any]]:
        if sampler is not None:
            self._study.sampler = sampler
        self._asks += 1
        asked = self._study.ask()
        config = self.spec.space.resolve(_Suggest(asked))
        return asked, config, dict(asked.params)

    def _sampler(self) -> optuna.samplers.BaseSampler:
        search = self.spec.search
        if not isinstance(search, Tpe):
            return optuna.samplers.RandomSampler(seed=self._seed())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(
                multivariate=True,
                group=True,
                constant_liar=True,
                n_startup_trials=min(STARTUP_TRIALS, math.ceil(search.trials / 3)),
                seed=self._seed(),
            )

    def _seed(self) -> int:
        text = f"{getattr(self.spec.search, 'seed', 0)}:{self._asks}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")

    def _join(self, key: str, asked: optuna.Trial) -> None:
        """Let an ask share the fate of the trial it describes."""
        self._states.setdefault(key, "running")
        self._live.setdefault(key, []).append(asked)
        for epoch, value in sorted(self._history.get(key, {}).items()):
            asked.report(value, epoch)
        if self._states[key] in ENDED:
            self._finish(key, self._states[key])

    def _observe(self, key: str, attempt: int, epoch: int, metrics: dict[str, float]) -> bool:
        history = self._history.setdefault(key, {})
        if epoch in history:
            return False  # an earlier attempt came this far already
        self._gained.add((key, attempt))
        history[epoch] = value = metrics[self.spec.metric]
        first, *others = self._live[key]
        for asked in others:
            asked.report(value, epoch)
        first.report(value, epoch)
        return first.should_prune() and epoch < self._trials[key][1].training.epochs

    def _finish(self, key: str, state: State) -> None:
        self._states[key] = state
        history = self._history.get(key, {})
        for asked in self._live.pop(key, []):
            if state == "complete" and history:
                self._study.tell(asked, history[max(history)])
            elif state == "stopped" and history:
                self._study.tell(asked, state=TrialState.PRUNED)
            elif key in self._infeasible:  # the sampler keeps away from its like
                asked.set_constraint("memory", 1.0)
                self._study.tell(asked, state=TrialState.PRUNED)
            else:
                self._study.tell(asked, state=TrialState.FAIL)


class _Suggest:
    """Lets an Optuna trial decide."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial

    def choose(self, path: str, domain: Domain) -> Any:  # noqa: ANN401 - one of the domain's scalars
        if isinstance(domain, Choice):
            return self._trial.suggest_categorical(path, domain.values)
        if isinstance(domain, IntRange):
            return self._trial.suggest_int(path, domain.low, domain.high, log=domain.log, step=domain.step)
        return self._trial.suggest_float(path, domain.low, domain.high, log=domain.log)
