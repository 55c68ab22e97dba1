"""The numbers by which people compare configurations, and every field of one by its path."""

from typing import Any

from search_spaces.base import by_path
from search_spaces.trial import TrialConfig

HEADLINE = ("lambda", "k", "r", "p", "aggregation", "lr")
"""The paper's parameters, by which people compare trials."""


def headline(config: TrialConfig) -> dict[str, Any]:
    """The paper's parameters of a configuration; `None` where it has none."""
    found = {**config.model.headline(), "lr": config.training.lr}
    return {name: found.get(name) for name in HEADLINE}


def params_of(config: TrialConfig) -> dict[str, str]:
    """The paper's parameters, `none` where inactive, then every field of the configuration by its path."""
    params = headline(config) | dict(by_path(config.model_dump(mode="json", by_alias=True)))
    return {name: "none" if value is None else str(value) for name, value in params.items()}
