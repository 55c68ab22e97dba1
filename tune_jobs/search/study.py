"""An in-memory Optuna study: the asks, their outcomes, and the decisions to stop trials.

Every ask draws only from the search's seed and the ask's number, so a resumed search continues exactly as it would
have.
"""

import copy
import hashlib
import math
from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import TrialState

from search_spaces import Choice, Domain, IntRange, SweepSpec, TrialConfig
from tune_jobs.record.rows import ENDED, State
from tune_jobs.search.registry import rule_of, sampler_of
from tune_jobs.search.samplers.base import Point


@dataclass(frozen=True)
class Answer:
    """The result of one ask."""

    trial: optuna.Trial
    config: TrialConfig
    decisions: dict[str, Any]


class Study:
    """The asks of one search, and the trials that they describe, by run key. Several asks may describe one trial."""

    def __init__(self, spec: SweepSpec) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.asks = 0
        self.ends = 0
        """Number of reported trial ends."""

        self.states: dict[str, State] = {}
        self._spec = spec
        self._sampler = sampler_of(spec.search, spec.space)
        storage, random = _Storage(), optuna.samplers.RandomSampler(seed=0)
        name = f"seed {self._search_seed}"  # Optuna's names are random, and Hyperband's brackets depend on the name
        self._storage = storage
        self._study = optuna.create_study(study_name=name, storage=storage, direction=spec.goal, sampler=random)
        self._judged = _Judged(name, storage, random)
        self._rule = rule_of(spec.stopping, spec.space)
        self._live: dict[str, list[optuna.Trial]] = {}  # the asks that wait for a trial's end; the first is judged
        self._history: dict[str, dict[int, float]] = {}  # objective at each epoch
        self._values: dict[str, float] = {}  # reported values of complete trials

    @property
    def _search_seed(self) -> int:
        return getattr(self._spec.search, "seed", 0)

    @property
    def seed(self) -> int:
        """The seed of the next ask."""
        text = f"{self._search_seed}:{self.asks}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")

    @property
    def goes_through_all(self) -> bool:
        """See `Sampler`."""
        return self._sampler.goes_through_all

    @property
    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """Optuna's trials."""
        return self._study.trials

    def ask(self, point: Point | None = None) -> Answer | None:
        """Choose a configuration: the given one, or the sampler's choice; `None` if the sampler has none left."""
        decider = self._sampler.decide(self.asks, self.seed) if point is None else point
        if decider is None:
            return None
        if isinstance(decider, optuna.samplers.BaseSampler):
            self._study.sampler = decider
        else:
            self._study.enqueue_trial(decider)
        self.asks += 1
        trial = self._study.ask()
        config = self._spec.space.resolve(Suggest(trial))
        return Answer(trial, config, dict(trial.params))

    def refuse(self, answer: Answer) -> None:
        """Note that a configuration is infeasible: the sampler avoids similar ones, more so if it breaks many rules.

        A configuration that an earlier version refused stays infeasible, even if it could run now.
        """
        broken = sum(1 for _ in self._spec.infeasibilities(answer.config))
        answer.trial.set_constraint("infeasible", max(1, broken))
        self._study.tell(answer.trial, state=TrialState.PRUNED)

    def join(self, key: str, answer: Answer, infeasible: Collection[str] = ()) -> None:
        """Link an ask to the trial that it describes, so that it gets the same values and end."""
        if key not in self.states:
            self._judged.numbers[answer.trial.number] = None
        self.states.setdefault(key, "running")
        self._live.setdefault(key, []).append(answer.trial)
        for epoch, value in sorted(self._history.get(key, {}).items()):
            answer.trial.report(value, epoch)
        if self.states[key] in ENDED:
            self.finish(key, self.states[key], infeasible=key in infeasible)

    def knows(self, key: str, epoch: int) -> bool:
        """Whether a trial has reached this epoch, in any attempt."""
        return epoch in self._history.get(key, {})

    def last(self, key: str) -> float:
        """Return the objective of a trial at its last epoch."""
        history = self._history.get(key, {})
        return history[max(history)] if history else math.nan

    def last_value(self, key: str) -> float | None:
        """Return the objective of a trial's configuration: the mean over its seeds if known, else the last value."""
        value = self._values.get(key, self.last(key))
        return None if math.isnan(value) else value

    def observe(self, key: str, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Note a new epoch of a trial, and return whether the rule stops it there.

        For a trial without an ask (a further seed of a configuration), only the objective is noted.
        """
        value = metrics[self._spec.metric]
        self._history.setdefault(key, {})[epoch] = value
        if key not in self._live:
            return False
        first, *others = self._live[key]
        for trial in (*others, first):
            trial.report(value, epoch)
        self._rule.sees(first.number, epoch, metrics)
        return self._rule.stops(self._judged, self._storage.get_trial(first._trial_id))  # noqa: SLF001 - its id in the storage

    def await_others(self, key: str) -> None:
        """Show the rule that a trial is complete, while the sampler waits for the other seeds of its configuration.

        The rule keeps seeing the trial's own value, even after the sampler receives the mean.
        """
        if key not in self._live:
            return
        seen = copy.copy(self._study.get_trials(deepcopy=False)[self._live[key][0].number])
        seen.state, seen.value = TrialState.COMPLETE, self.last(key)
        self._judged.complete[seen.number] = seen

    def finish(self, key: str, state: State, *, infeasible: bool, value: float | None = None) -> None:
        """Report a trial's end.

        Args:
            key: The trial.
            state: How it ended.
            infeasible: Whether the sampler should avoid similar configurations.
            value: The value of its complete configuration; the value at its last epoch if `None`.
        """
        self.states[key] = state
        self.ends += 1
        history = self._history.get(key, {})
        if value is not None:
            self._values[key] = value
        value = self._values.get(key, self.last(key))
        for trial in self._live.pop(key, []):
            if state == "complete" and not math.isnan(value):
                self._study.tell(trial, value)
            elif state == "stopped" and history:
                self._study.tell(trial, state=TrialState.PRUNED)
            elif infeasible:
                trial.set_constraint("memory", 1.0)
                self._study.tell(trial, state=TrialState.PRUNED)
            else:
                self._study.tell(trial, state=TrialState.FAIL)


class _Storage(optuna.storages.InMemoryStorage):
    """Stores reports without copying the trial. Optuna copies it for concurrent threads, which do not exist here."""

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        self.get_trial(trial_id).intermediate_values[step] = intermediate_value


class _Judged(optuna.Study):
    """The study as a stopping rule sees it: every trial once, even with several asks, and no infeasible draws."""

    def __init__(self, name: str, storage: optuna.storages.BaseStorage, sampler: optuna.samplers.BaseSampler) -> None:
        super().__init__(name, storage, sampler, optuna.pruners.NopPruner())
        self.numbers: dict[int, None] = {}  # ascending
        self.complete: dict[int, optuna.trial.FrozenTrial] = {}
        """Complete trials, by number, whose state or value differs in the study."""

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[optuna.trial.FrozenTrial]:
        every = super().get_trials(deepcopy)
        found = [self.complete.get(number, every[number]) for number in self.numbers]
        return [each for each in found if states is None or each.state in states]


class Suggest:
    """Lets an Optuna trial choose the values."""

    def __init__(self, trial: optuna.trial.BaseTrial) -> None:
        self._trial = trial

    def choose(self, path: str, domain: Domain) -> Any:  # noqa: ANN401 - one of the domain's scalars
        if isinstance(domain, Choice):
            return self._trial.suggest_categorical(path, domain.values)
        if isinstance(domain, IntRange):
            return self._trial.suggest_int(path, domain.low, domain.high, log=domain.log, step=domain.step)
        return self._trial.suggest_float(path, domain.low, domain.high, log=domain.log)
