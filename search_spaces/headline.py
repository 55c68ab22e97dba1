"""The parameters by which people compare configurations."""

from typing import Any

from search_spaces.trial import TrialConfig

HEADLINE = ("lambda", "k", "r", "p", "aggregation", "lr")
"""The paper's parameters, in the order of tables."""


def headline(config: TrialConfig) -> dict[str, Any]:
    """Return the paper's parameters of a configuration; `None` for those that it does not have."""
    found = {**config.model.headline(), "lr": config.training.lr}
    return {name: found.get(name) for name in HEADLINE}
