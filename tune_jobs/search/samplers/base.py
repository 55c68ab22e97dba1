"""What every sampler is."""

from abc import ABC, abstractmethod
from typing import ClassVar

import optuna

from search_spaces.domains import Scalar

Point = dict[str, Scalar]
"""A value for each open field of the space, by path."""


class Sampler(ABC):
    """Proposes configurations, one at a time."""

    goes_through_all: ClassVar[bool] = False
    """Whether it comes to every point of the space by itself, however many of them cannot run."""

    @abstractmethod
    def decide(self, number: int, seed: int) -> Point | optuna.samplers.BaseSampler | None:
        """What decides an ask: a point of the space, or a sampler of Optuna's, which knows the whole study.

        The answer depends on the arguments alone, so that a search that was interrupted goes on as it would have.

        Args:
            number: Of the ask, from 0.
            seed: Of the ask, from the seed of the search and the number.

        Returns:
            `None` where there is no configuration left.
        """
