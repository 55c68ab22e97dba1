"""The numbers by which people compare configurations."""

from typing import Any

from search_spaces.trial import TrialConfig

HEADLINE = ("lambda", "k", "r", "p", "aggregation", "lr")
"""The paper's parameters, by which people compare trials."""


def headline(config: TrialConfig) -> dict[str, Any]:
    """The paper's parameters of a configuration; `None` where it has none."""
    found = {**config.model.headline(), "lr": config.training.lr}
    return {name: found.get(name) for name in HEADLINE}
