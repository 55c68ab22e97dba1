"""Each fault of a sampler is reported in one clear line for the right property."""

import random
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import Field

from convnn.plugins import SAMPLERS as GROUP
from search_spaces import Space
from search_spaces.settings import SAMPLERS, SamplerSettings
from tests.tune_jobs.conformance.faults import assert_reported
from tune_jobs.conformance.kinds import Subject
from tune_jobs.search.samplers.base import Point, Sampler

HERE = __name__


class _Sampled(SamplerSettings):
    config_version: ClassVar[int] = 1
    made_by: ClassVar[str] = f"{HERE}:FaultySampler"
    trials: Annotated[int, Field(ge=1, description="Configurations to train.")]


class Outside(_Sampled):
    """A sampler that proposes values outside of the space."""

    sampler: Literal["outside"]


class Forgetting(_Sampled):
    """A sampler with a separate random generator."""

    sampler: Literal["forgetting"]


class Lazy(_Sampled):
    """A sampler that ends before all points are proposed."""

    sampler: Literal["lazy"]


class Unset(_Sampled):
    """A field has no default, and no tested value is valid."""

    sampler: Literal["unset"]
    more: Annotated[int, Field(ge=1000, description="A large number.")]


class FaultySampler(Sampler):
    goes_through_all = True

    def __init__(self, settings: _Sampled, space: Space) -> None:
        self._fault, self._space, self._rng = settings.sampler, space, random.Random(0)

    def decide(self, number: int, seed: int) -> Point | None:
        if self._fault == "lazy" and number >= 3:
            return None
        rng = self._rng if self._fault == "forgetting" else random.Random(seed)
        point = self._space.draw(rng)
        if self._fault == "outside":
            point = {path: value + 0.5 if isinstance(value, float) else value for path, value in point.items()}
        return point


SAMPLER_FAULTS = [
    (Outside, "its proposals are in the space", "which is not in the space"),
    (
        Forgetting,
        "a search rebuilt at any record makes the same proposals",
        "differs after a rebuild; a proposal may depend only on",
    ),
    (Unset, "its defaults are valid", "the field more has no default, and none of (1, 2, 3"),
    (Lazy, "it ends after all points of the space", "it proposes 3 of the 9 configurations and ends"),
]


@pytest.mark.filterwarnings("ignore:Fixed parameter")  # from Optuna, for a point outside of the space
@pytest.mark.parametrize(("kind", "broken", "said"), SAMPLER_FAULTS, ids=lambda each: getattr(each, "__name__", ""))
def test_a_fault_of_a_sampler_is_reported_in_one_line(kind: type[_Sampled], broken: str, said: str) -> None:
    subject = Subject(GROUP, kind.__name__.lower(), None, kind, "search_spaces.settings", "sampler")
    assert_reported(subject, SAMPLERS.registered(kind), broken, said)
