"""Samplers and stopping rules by what a sweep file says of them, below `search` and `stopping`."""

from collections.abc import Callable
from typing import Any

from convnn.plugins import named
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
from tune_jobs.errors import UsageError
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
    """Let sweep files name another sampler.

    Args:
        settings: What a file says of it below `search`; its field `sampler` is a Literal of its name.
        make: Makes the sampler from these settings and the space.
    """
    register_sampler(settings)
    _SAMPLERS[settings] = make


def add_rule(settings: type[Stopping], make: MakeRule) -> None:
    """Let sweep files name another stopping rule.

    Args:
        settings: What a file says of it below `stopping`; its field `kind` is a Literal of its name.
        make: Makes the rule from these settings and the space.
    """
    register_rule(settings)
    _RULES[settings] = make


def sampler_of(settings: SamplerSettings, space: Space) -> Sampler:
    """The sampler that a sweep file asks for."""
    make: MakeSampler = _SAMPLERS.get(type(settings)) or _maker(settings)
    return make(settings, space)


def rule_of(settings: Stopping, space: Space) -> StoppingRule:
    """The stopping rule that a sweep file asks for."""
    make: MakeRule = _RULES.get(type(settings)) or _maker(settings)
    return make(settings, space)


def _maker(settings: SamplerSettings | Stopping) -> Any:  # noqa: ANN401 - a callable of a plugin
    if not settings.made_by:
        raise UsageError(
            f"{type(settings).__module__}.{type(settings).__name__} must say what makes it from its settings and the "
            f"space: made_by = 'package.module:name'."
        )
    return named(settings.made_by)
