"""The base class of samplers."""

from abc import ABC, abstractmethod
from typing import ClassVar

import optuna

from search_spaces.domains import Scalar

Point = dict[str, Scalar]
"""A value for each open field of the space, by path."""


class Sampler(ABC):
    """Proposes configurations, one at a time."""

    goes_through_all: ClassVar[bool] = False
    """Whether it visits every configuration of the space by itself, even if many are infeasible."""

    @abstractmethod
    def decide(self, number: int, seed: int) -> Point | optuna.samplers.BaseSampler | None:
        """Decide an ask: return a configuration, or one of Optuna's samplers, which sees the whole study.

        The result must depend only on the arguments, so that a resumed search continues exactly as it would have.

        Args:
            number: The number of the ask, from 0.
            seed: The seed of the ask, derived from the search's seed and the number.

        Returns:
            `None` if no configuration is left.
        """
