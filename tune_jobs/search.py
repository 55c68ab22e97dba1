"""What to try next, and what to stop: an Optuna study that lives in memory and is replayed from the ledger.

Every ask draws from the search's seed and the ask's number alone, so a search that was interrupted goes on exactly as
it would have. Ray is not imported here: `tune_jobs.scheduling` fits this to Ray Tune.
"""

import hashlib
import itertools
import math
import random
import warnings
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
from tune_jobs.ledger import ENDED, Ledger, State

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


class Search:
    """Decides for one sweep. Every call records in the ledger first, then tells the study."""

    def __init__(self, spec: SweepSpec, ledger: Ledger) -> None:
        """Rebuild the search from everything the ledger holds; unfinished trials are due again."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.spec = spec
        self.exhausted = ledger.meta("exhausted") is not None
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
        self._live: dict[str, list[optuna.Trial]] = {}  # by run_key: the asks that wait for its end, the first runs
        self._history: dict[str, dict[int, float]] = {}  # by run_key: objective by epoch
        self._states: dict[str, State] = {}
        self._trials: dict[str, tuple[int, TrialConfig]] = {}
        self._due: list[str] = []
        self._points = spec.space.points() if isinstance(spec.search, Grid) else iter(())
        self._replay()

    def _replay(self) -> None:
        trials = {trial.run_key: trial for trial in self._ledger.trials()}
        self._trials = {trial.run_key: (trial.number, trial.config) for trial in trials.values()}
        events: list[tuple[int, Any]] = [(ask.seq, ask) for ask in self._ledger.asks()]
        events += [(epoch.seq, epoch) for epoch in self._ledger.epochs()]
        events += [(trial.ended_seq, trial) for trial in trials.values() if trial.ended_seq is not None]
        cut_off: dict[str, int] = {}  # by run_key: the attempt that was to stop when the driver died
        for _, event in sorted(events, key=lambda pair: pair[0]):
            if hasattr(event, "decisions"):
                self._study.enqueue_trial(event.decisions)
                asked = self._ask(None)[0]
                if event.outcome == "infeasible":
                    self._study.tell(asked, state=TrialState.FAIL)
                else:
                    self._join(event.run_key, asked)
            elif hasattr(event, "metrics"):
                if self._observe(event.run_key, event.epoch, event.metrics):
                    cut_off[event.run_key] = event.attempt
            else:
                self._finish(event.run_key, event.state)
        for trial in trials.values():
            if trial.state in ENDED:
                continue
            if trial.run_key in cut_off:
                self._ledger.end_attempt(trial.run_key, cut_off[trial.run_key], "stopped", BY_THE_RULE)
                self._finish(trial.run_key, "stopped")
            else:
                self._due.append(trial.run_key)
        if isinstance(self.spec.search, Grid):
            self._points = itertools.islice(self._points, self._asks, None)

    @property
    def planned(self) -> int | None:
        """Trials that the search is to reach; `None` where only exhaustion tells."""
        return getattr(self.spec.search, "trials", None)

    @property
    def done(self) -> bool:
        """Whether every trial has ended: the planned ones, or all that the space has."""
        return not self._due and (self.exhausted or (self.planned is not None and len(self._trials) >= self.planned))

    def next(self) -> Job | None:
        """The next attempt: a trial that is due again, else a new one; `None` when there is nothing left to start."""
        if self._due:
            key = self._due.pop(0)
        else:
            if self.planned is not None and len(self._trials) >= self.planned:
                return None
            new = self._new()
            if new is None:
                self.exhausted = True
                self._ledger.set_meta("exhausted", "true")
                return None
            key = new
        number, config = self._trials[key]
        return Job(key, self._ledger.start_attempt(key), number, config)

    def report(self, job: Job, epoch: int, metrics: dict[str, float]) -> bool:
        """Record an epoch; true if the trial should stop now."""
        self._ledger.add_epoch(job.run_key, job.attempt, epoch, metrics)
        return self._observe(job.run_key, epoch, metrics)

    def end(self, job: Job, state: State, reason: str | None = None) -> None:
        """Record how an attempt ended."""
        self._ledger.end_attempt(job.run_key, job.attempt, state, reason)
        if state in ENDED:
            self._finish(job.run_key, state)
        else:
            self._due.append(job.run_key)

    def _new(self) -> str | None:
        """Ask, canonicalise, check, until a configuration is new; its key, or `None` if there is none left."""
        misses = 0
        while True:
            if isinstance(self.spec.search, Grid):
                point = next(self._points, None)
            else:
                point = self._unused() if misses >= MISSES_IN_A_ROW else {}
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
                return key
            misses += 1

    def _unused(self) -> dict[str, Scalar] | None:
        """A uniform draw from the valid points not yet used; `None` if there is none, or none can be found."""
        space = self.spec.space
        if space.continuous():
            rng = random.Random(self._seed())
            draws = (space.draw(rng) for _ in range(10 * MISSES_IN_A_ROW))
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

    def _observe(self, key: str, epoch: int, metrics: dict[str, float]) -> bool:
        history = self._history.setdefault(key, {})
        if epoch in history:
            return False  # an earlier attempt came this far already
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
