"""Settings with which the kinds of plugins are checked."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from search_spaces.base import Config
from search_spaces.models import VGGLayer
from search_spaces.models.candidates import Candidates
from tune_jobs.conformance.settings import varied


class Window(Config):
    """Optional settings in a layer."""

    width: Annotated[int, Field(ge=1)] = 3


class Windowed(VGGLayer):
    """A layer that may have a window."""

    examples: ClassVar = ({"window": None, "candidates": None},)
    kind: Literal["windowed"]
    window: Window | None = None
    candidates: Candidates | None = None

    def arguments(self) -> dict[str, Any]:
        return {}


def test_optional_settings_are_tried_from_none() -> None:
    found = {each.window and each.window.width for each in varied(Windowed, "kind")}
    assert {None, 3, 4} <= found
    kinds = {each.candidates and each.candidates.kind for each in varied(Windowed, "kind")}
    assert {None, "random", "strided"} <= kinds
