"""What a search chooses from when it is played: the points of a space that have a recorded run, or a table itself."""

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
"""Points of a large space that are looked up, to say how much of it has a run."""


@dataclass(frozen=True)
class TableSpace(Space):
    """A table as a space: each run is a point, in the order given. Its configuration says the run as its seed."""

    configs: tuple[TrialConfig, ...] = ()

    def values(self, path: str, default: Scalar) -> list[Any]:
        """What its runs have at a path; rules ask how many epochs a trial has."""
        found = dict(by_path(self.configs[0].model_dump(mode="json", by_alias=True)))
        return [found.get(path, default)]

    def resolve(self, chooser: Chooser) -> TrialConfig:
        """The configuration that stands for a run."""
        assert isinstance(self.root, Leaf)
        place = chooser.choose(self.root.path, self.root.domain)
        assert isinstance(place, int)
        return self.configs[place]


def stand_ins(runs: int, epochs: int) -> list[TrialConfig]:
    """Configurations that differ in their seed alone, which is the number of the run that each stands for."""
    any_model = {"name": "vgg11", "layer": {"kind": "conv2d"}}
    config = TrialConfig.model_validate({"model": any_model, "training": {"epochs": epochs}})
    training = [config.training.model_copy(update={"seed": number}) for number in range(runs)]
    return [config.model_copy(update={"training": each}) for each in training]


def table_space(order: Sequence[int], configs: Sequence[TrialConfig]) -> TableSpace:
    """A space of runs, by number in their table; a grid goes through it in this order."""
    places = IntRange(0, len(order) - 1)
    return TableSpace(Leaf("place", places), configs=tuple(configs[number] for number in order))


@dataclass(frozen=True)
class PlayableSpace(Space):
    """A space whose points without a run cannot run; a number from a range is the nearest that was recorded."""

    runs: Runs | None = None
    recorded: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """By path of a range: the recorded values in it."""

    known: tuple[dict[str, Scalar], ...] | None = None
    """The points that have a run, as far as they were looked up."""

    def resolve(self, chooser: Chooser) -> TrialConfig:
        """The configuration that `chooser` makes, at recorded values."""
        return super().resolve(_Nearest(chooser, self.recorded))

    def infeasibilities(self, trial: TrialConfig) -> Iterator[Infeasible]:
        """Everything that keeps `trial` from running, that it was not recorded last."""
        runs = True
        for reason in super().infeasibilities(trial):
            runs = False
            yield reason
        assert self.runs is not None
        if runs and not self.runs.of(trial):
            yield Infeasible("", "has no recorded run")

    def points(self) -> Iterator[dict[str, Scalar]]:
        """The points that have a run, once they were looked up."""
        return super().points() if self.known is None else iter(self.known)

    def is_small(self) -> bool:
        """Whether every point of it can be looked at."""
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
    """The part of a space that was recorded.

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
                    f"{leaf.path} is {domain.low:g} to {domain.high:g}, where no run is recorded; recorded are: "
                    f"{', '.join(f'{value:g}' for value in numbers) or 'none'}."
                )
    return PlayableSpace(space.root, space.constraints, space.memory_gb, runs, recorded)


@dataclass(frozen=True)
class Coverage:
    """How much of a space was recorded."""

    points: int | None
    """Of the whole space; `None` where it is not finite."""

    looked_at: int
    """Points that can run: all of a small space, else of draws."""

    with_run: int
    without: Mapping[str, int]
    """Points that have no run, by reason."""

    nearest: Mapping[str, tuple[float, ...]]
    """By path of a range: the values that stand for it."""


@dataclass(frozen=True)
class Played:
    """A space cut down to what was recorded."""

    space: PlayableSpace
    coverage: Coverage
    epochs: dict[int, int]
    """By number of each run that a point is played by: the epochs that are played of it."""


def looked_up(space: PlayableSpace, runs: Runs) -> Played:
    """How much of a space was recorded, and its recorded points as a space of its own.

    Raises:
        UsageError: If nothing of it was.
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
            f"no configuration of the space has a recorded run ({looked_at:,} looked up). What no run has: "
            f"{reasons or 'nothing can run'}. Change these fields with --set, or give another table."
        )
    seen = Coverage(space.size(), looked_at, with_run, dict(without.most_common()), space.recorded)
    return Played(replace(space, known=tuple(known.values())), seen, epochs)


_SHOWN = 5
