"""The spaces of simulated searches: the configurations of a space that have a recorded run, or a table itself."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from search_spaces import Choice, Domain, IntRange, TrialConfig, run_key
from search_spaces.base import Infeasible, by_path
from search_spaces.domains import Chooser, Scalar
from search_spaces.nodes import Leaf
from search_spaces.space import Space
from tune_jobs.errors import UsageError
from tune_jobs.results.recorded.matching import Runs

DRAWS = 2_000
"""Number of configurations of a large space that are looked up, to estimate how much of it has a run."""


@dataclass(frozen=True)
class TableSpace(Space):
    """A table as a space: each run is a configuration, in the given order, and its seed is the number of the run."""

    configs: tuple[TrialConfig, ...] = ()

    def values(self, path: str, default: Scalar) -> list[Any]:
        """Return the values of its runs at a path; rules use it to get the number of epochs."""
        found = dict(by_path(self.configs[0].model_dump(mode="json", by_alias=True)))
        return [found.get(path, default)]

    def resolve(self, chooser: Chooser) -> TrialConfig:
        """Return the configuration that represents a run."""
        assert isinstance(self.root, Leaf)
        place = chooser.choose(self.root.path, self.root.domain)
        assert isinstance(place, int)
        return self.configs[place]


def stand_ins(runs: int, epochs: int) -> list[TrialConfig]:
    """Return configurations that differ only in their seed, which is the number of the run that each represents."""
    any_model = {"name": "vgg11", "layer": {"kind": "conv2d"}}
    config = TrialConfig.model_validate({"model": any_model, "training": {"epochs": epochs}})
    training = [config.training.model_copy(update={"seed": number}) for number in range(runs)]
    return [config.model_copy(update={"training": each}) for each in training]


def table_space(order: Sequence[int], configs: Sequence[TrialConfig]) -> TableSpace:
    """Return a space of runs, by number in their table; a grid visits them in this order."""
    places = IntRange(0, len(order) - 1)
    return TableSpace(Leaf("place", places), configs=tuple(configs[number] for number in order))


@dataclass(frozen=True)
class PlayableSpace(Space):
    """A space in which configurations without a run are infeasible; numbers from ranges become the nearest recorded."""

    runs: Runs | None = None
    recorded: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """The recorded values in each range, by path."""

    known: tuple[dict[str, Scalar], ...] | None = None
    """The configurations that have a run, if they were looked up."""

    def resolve(self, chooser: Chooser) -> TrialConfig:
        """Return the configuration that `chooser` makes, with recorded values."""
        return super().resolve(_Nearest(chooser, self.recorded))

    def infeasibilities(self, trial: TrialConfig) -> Iterator[Infeasible]:
        """Yield every reason why `trial` is infeasible; the last one is that it has no recorded run."""
        runs = True
        for reason in super().infeasibilities(trial):
            runs = False
            yield reason
        assert self.runs is not None
        if runs and not self.runs.of(trial):
            yield Infeasible("", "has no recorded run")

    def points(self) -> Iterator[dict[str, Scalar]]:
        """Yield the configurations that have a run, once they were looked up."""
        return super().points() if self.known is None else iter(self.known)

    def is_small(self) -> bool:
        """Whether the space is small enough to enumerate."""
        return self.known is not None or super().is_small()


class _Nearest:
    def __init__(self, chooser: Chooser, recorded: Mapping[str, tuple[float, ...]]) -> None:
        self._chooser = chooser
        self._recorded = recorded

    def choose(self, path: str, domain: Domain) -> Scalar:
        chosen = self._chooser.choose(path, domain)
        if isinstance(domain, Choice):
            return chosen
        assert isinstance(chosen, float | int)
        nearest = min(self._recorded[path], key=lambda value: _distance(chosen, value, log=domain.log))
        return int(nearest) if isinstance(domain, IntRange) else nearest


def _distance(one: float, other: float, *, log: bool) -> float:
    return max(one, other) / min(one, other) if log else abs(one - other)


def playable(space: Space, runs: Runs) -> PlayableSpace:
    """Return the recorded part of a space.

    Raises:
        UsageError: If a range has no recorded value.
    """
    recorded = {}
    for leaf in space.domains():
        if not isinstance(domain := leaf.domain, Choice):
            values = runs.values[re.sub(r"\[[^]]*\]", "", leaf.path).removeprefix("space.")]
            numbers = sorted(value for value in values if isinstance(value, float | int))
            recorded[leaf.path] = tuple(float(value) for value in numbers if domain.low <= value <= domain.high)
            if not recorded[leaf.path]:
                raise UsageError(
                    f"{leaf.path} is {domain.low:g} to {domain.high:g}, and no run has a value there; recorded are: "
                    f"{', '.join(f'{value:g}' for value in numbers) or 'none'}."
                )
    return PlayableSpace(space.root, space.constraints, space.memory_gb, runs, recorded)


@dataclass(frozen=True)
class Coverage:
    """How much of a space was recorded."""

    points: int | None
    """Number of configurations of the whole space; `None` if it is infinite."""

    looked_at: int
    """Number of feasible configurations that were looked up: all of a small space, otherwise those among draws."""

    with_run: int
    without: Mapping[str, int]
    """Number of configurations without a run, by reason."""

    nearest: Mapping[str, tuple[float, ...]]
    """The recorded values that are used for each range, by path."""


@dataclass(frozen=True)
class Played:
    """A space reduced to its recorded configurations."""

    space: PlayableSpace
    coverage: Coverage
    epochs: dict[int, int]
    """The number of epochs that are used of each run, by number of the run."""


def looked_up(space: PlayableSpace, runs: Runs) -> Played:
    """Return how much of a space was recorded, and its recorded configurations as a separate space.

    Raises:
        UsageError: If no configuration has a run.
    """
    looked_at, with_run, without = 0, 0, Counter[str]()
    epochs: dict[int, int] = {}
    known: dict[str, dict[str, Scalar]] = {}
    plain = Space(space.root, space.constraints, space.memory_gb)
    for point, config in space.sample(None if space.is_small() else DRAWS):
        if next(plain.infeasibilities(config), None) is not None:
            continue
        looked_at += 1
        if found := runs.of(config):
            with_run += 1
            epochs |= dict.fromkeys(found, config.training.epochs)
            known.setdefault(run_key(config), point)
        else:
            without[runs.why_none(config)] += 1
    if not epochs:
        reasons = "; ".join(
            reason if len(without) == 1 else f"{reason} ({count:,})" for reason, count in without.most_common(_SHOWN)
        )
        raise UsageError(
            f"no configuration of the space has a recorded run ({looked_at:,} looked up). Not recorded: "
            f"{reasons or 'nothing can run'}. Change these fields with --set, or give another table."
        )
    seen = Coverage(space.size(), looked_at, with_run, dict(without.most_common()), space.recorded)
    return Played(replace(space, known=tuple(known.values())), seen, epochs)


_SHOWN = 5
