"""Samplers and stopping rules, by their settings below `search` and `stopping` in a sweep file."""

from collections.abc import Callable
from typing import Any

from search_spaces import Space
from search_spaces.settings import (
    Asha,
    Auto,
    Grid,
    Hyperband,
    Median,
    NoStopping,
    Patience,
    RandomSearch,
    SamplerSettings,
    Stopping,
    Tpe,
    register_rule,
    register_sampler,
)
from tune_jobs.search.pruners.asha import SuccessiveHalving
from tune_jobs.search.pruners.auto import LearntStopping
from tune_jobs.search.pruners.base import StoppingRule
from tune_jobs.search.pruners.hyperband import BracketedHalving
from tune_jobs.search.pruners.median import BelowMedian
from tune_jobs.search.pruners.none import NoRule
from tune_jobs.search.pruners.patience import NoImprovement
from tune_jobs.search.samplers.base import Sampler
from tune_jobs.search.samplers.grid import GridSampler
from tune_jobs.search.samplers.random import UniformSampler
from tune_jobs.search.samplers.tpe import TpeSampler

MakeSampler = Callable[[Any, Space], Sampler]
MakeRule = Callable[[Any, Space], StoppingRule]

_SAMPLERS: dict[type[SamplerSettings], MakeSampler] = {Tpe: TpeSampler, RandomSearch: UniformSampler, Grid: GridSampler}
_RULES: dict[type[Stopping], MakeRule] = {
    NoStopping: NoRule,
    Asha: SuccessiveHalving,
    Hyperband: BracketedHalving,
    Median: BelowMedian,
    Patience: NoImprovement,
    Auto: LearntStopping,
}


def add_sampler(settings: type[SamplerSettings], make: MakeSampler) -> None:
    """Make another sampler available in sweep files.

    Args:
        settings: Its settings below `search` in a sweep file; the field `sampler` is a Literal with its name.
        make: Makes the sampler from these settings and the space.
    """
    register_sampler(settings)
    _SAMPLERS[settings] = make


def add_rule(settings: type[Stopping], make: MakeRule) -> None:
    """Make another stopping rule available in sweep files.

    Args:
        settings: Its settings below `stopping` in a sweep file; the field `kind` is a Literal with its name.
        make: Makes the rule from these settings and the space.
    """
    register_rule(settings)
    _RULES[settings] = make


def sampler_of(settings: SamplerSettings, space: Space) -> Sampler:
    """Return the sampler for these settings."""
    return _SAMPLERS[type(settings)](settings, space)


def rule_of(settings: Stopping, space: Space) -> StoppingRule:
    """Return the stopping rule for these settings."""
    return _RULES[type(settings)](settings, space)
