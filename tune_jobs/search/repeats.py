"""The further seeds of configurations: which are to be begun, and when the mean over all of them is known."""

import bisect
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean

from search_spaces import TrialConfig
from tune_jobs.record.rows import State, Trial


@dataclass(frozen=True)
class Told:
    """What the sampler hears of a configuration once every seed has ended."""

    state: State
    mean: float | None = None


@dataclass
class _Seeds:
    """How the seeds of a configuration ended, by how far they are from the first."""

    number: int
    """Of its first trial."""

    config: TrialConfig
    ended: dict[int, tuple[State, float]] = field(default_factory=dict)
    begun: set[int] = field(default_factory=set)
    told: bool = False


class Repeats:
    """Of every configuration, `seeds` trials: the first, and once that is complete, one after another the others.

    The mean is that of the complete trials, and known once all have ended. A configuration of which a seed has diverged
    has diverged; one that failed, or was stopped or excluded by hand, is left out of the mean. Trials of more seeds, of
    an earlier number of them, count for nothing here.
    """

    def __init__(self, seeds: int, trials: Iterable[Trial] = ()) -> None:
        self.seeds = seeds
        self.first_of: dict[str, str] = {}
        """By run key of each other seed: that of the first."""

        self._by_first: dict[str, _Seeds] = {}
        self._missing: list[tuple[int, int, str]] = []  # number of the first trial, which seed, key of the first
        for trial in trials:  # by number: a first one comes before the others
            if trial.repeat_of is None or trial.repeat_of not in self._by_first:
                self.begin(trial.run_key, trial.number, trial.config)
            else:
                self.first_of[trial.run_key] = trial.repeat_of
                self._by_first[trial.repeat_of].begun.add(self._place(trial.repeat_of, trial.config))

    @property
    def configurations(self) -> int:
        """That have begun."""
        return len(self._by_first)

    @property
    def missing(self) -> bool:
        """Whether another seed is to be begun."""
        return bool(self._missing)

    def begin(self, key: str, number: int, config: TrialConfig) -> None:
        """Note the first trial of a configuration."""
        self._by_first[key] = _Seeds(number, config)

    def next(self) -> tuple[str, str, TrialConfig]:
        """Begin what is missing first: its run key, that of the first trial of its configuration, and itself."""
        _, place, first = self._missing.pop(0)
        found = self._by_first[first]
        found.begun.add(place)
        seed = found.config.training.seed + place
        training = found.config.training.model_copy(update={"seed": seed})
        key = f"{first.removesuffix(f'-s{found.config.training.seed}')}-s{seed}"
        self.first_of[key] = first
        return key, first, found.config.model_copy(update={"training": training})

    def end(self, key: str, config: TrialConfig, state: State, value: float) -> Told | None:
        """Note how a trial ended, with its last value; what the sampler hears of its configuration now, if anything."""
        first = self.first_of.get(key, key)
        place, found = self._place(first, config), self._by_first[first]
        if place >= self.seeds or found.told:
            return None
        found.ended[place] = state, value
        if place == 0 and state == "complete" and math.isfinite(value):
            for other in range(1, self.seeds):
                if other not in found.begun:
                    bisect.insort(self._missing, (found.number, other, first))
        told = _told(found.ended, self.seeds)
        found.told = told is not None
        return told

    def _place(self, first: str, config: TrialConfig) -> int:
        return config.training.seed - self._by_first[first].config.training.seed


def _told(ended: Mapping[int, tuple[State, float]], seeds: int) -> Told | None:
    state, value = ended.get(0, (None, math.nan))
    if state is None:
        return None
    if state != "complete" or not math.isfinite(value):
        return Told(state, value)
    if len(ended) < seeds:
        return None
    if any(state == "diverged" for state, _ in ended.values()):
        return Told("diverged")
    return Told("complete", fmean(value for state, value in ended.values() if state == "complete"))
