"""The further seeds of configurations: which ones to start, and when the mean over all seeds is known."""

import bisect
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean

from search_spaces import TrialConfig
from tune_jobs.record.rows import State, Trial


@dataclass(frozen=True)
class Told:
    """The result of a configuration for the sampler, once every seed has ended."""

    state: State
    mean: float | None = None


@dataclass
class _Seeds:
    """How the seeds of a configuration ended, by their offset from the first seed."""

    number: int
    """The number of its first trial."""

    seed: int
    """The seed of its first trial."""

    ended: dict[int, tuple[State, float]] = field(default_factory=dict)
    begun: set[int] = field(default_factory=set)
    told: bool = False


class Repeats:
    """Runs `seeds` trials of every configuration: the first one, and once it is complete, the others in order.

    The mean is over the complete trials, and is known once all trials have ended. If one seed diverges, the
    configuration has diverged. Seeds that failed, or that a user stopped or excluded, are left out of the mean. Trials
    with seeds beyond `seeds`, from an earlier and larger setting, are ignored.
    """

    def __init__(self, seeds: int, trials: Iterable[Trial] = ()) -> None:
        self.seeds = seeds
        self.first_of: dict[str, str] = {}
        """The run key of the first trial, by the run key of each further seed."""

        self._by_first: dict[str, _Seeds] = {}
        self._missing: list[tuple[int, int, str, TrialConfig]] = []  # number, seed offset, key and configuration
        for trial in trials:  # sorted by number, so a first trial comes before its further seeds
            if trial.repeat_of is None or trial.repeat_of not in self._by_first:
                self.begin(trial.run_key, trial.number, trial.config)
            else:
                self.first_of[trial.run_key] = trial.repeat_of
                self._by_first[trial.repeat_of].begun.add(self._place(trial.repeat_of, trial.config))

    @property
    def configurations(self) -> int:
        """Number of configurations that have started."""
        return len(self._by_first)

    @property
    def missing(self) -> bool:
        """Whether another seed should start."""
        return bool(self._missing)

    def begin(self, key: str, number: int, config: TrialConfig) -> None:
        """Note the first trial of a configuration."""
        self._by_first[key] = _Seeds(number, config.training.seed)

    def next(self) -> tuple[str, str, TrialConfig]:
        """Start the next missing seed: return its run key, the run key of its first trial, and its configuration."""
        _, place, first, config = self._missing.pop(0)
        found = self._by_first[first]
        found.begun.add(place)
        training = config.training.model_copy(update={"seed": found.seed + place})
        key = f"{first.removesuffix(f'-s{found.seed}')}-s{training.seed}"
        self.first_of[key] = first
        return key, first, config.model_copy(update={"training": training})

    def end(self, key: str, config: TrialConfig, state: State, value: float) -> Told | None:
        """Note how a trial ended, with its last value; return its configuration's result once it is known."""
        first = self.first_of.get(key, key)
        place, found = self._place(first, config), self._by_first[first]
        if place >= self.seeds or found.told:
            return None
        found.ended[place] = state, value
        if place == 0 and state == "complete" and math.isfinite(value):
            for other in range(1, self.seeds):
                if other not in found.begun:
                    bisect.insort(self._missing, (found.number, other, first, config))
        told = _told(found.ended, self.seeds)
        found.told = told is not None
        return told

    def _place(self, first: str, config: TrialConfig) -> int:
        return config.training.seed - self._by_first[first].seed


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
