"""The settings of a layer for VGG-11. Sweep files load this module, so it must not import torch."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from convnn.geometry import Stage
from search_spaces.base import Decides, Factory, Infeasible
from search_spaces.domains import every
from search_spaces.models import VGGLayer


class Grouped(VGGLayer):
    """A 3x3 convolution in groups of channels."""

    config_version: ClassVar[int] = 1
    kind: Literal["grouped"]
    groups: Annotated[
        int, Field(ge=1, le=512, description="Groups of channels; the first layer has one."), Decides(every)
    ] = 2
    shuffle: Annotated[bool, Field(description="Mix the channels of all groups before each layer.")] = True

    def arguments(self) -> dict[str, Any]:
        options = {"groups": self.groups, "shuffle": self.shuffle}
        return {"layer": Factory("my_kinds.modules:grouped", options)}

    def infeasibilities(self, stages: list[Stage]) -> Iterator[Infeasible]:
        for stage in stages:
            if stage.out_channels % self.groups:
                rule = f"must divide the {stage.out_channels} channels of {stage.name}"
                yield Infeasible("model.layer.groups", rule, str(self.groups), "groups: 1 always fits")
                return

    def canonical(self, stages: list[Stage]) -> VGGLayer:
        return self.model_copy(update={"shuffle": False}) if self.groups == 1 else self

    def parameters(self, stage: Stage) -> int:
        return 9 * stage.in_channels * stage.out_channels // self._groups(stage) + stage.out_channels

    def flops(self, stage: Stage) -> int:
        return 18 * stage.side**2 * stage.in_channels * stage.out_channels // self._groups(stage)

    def _groups(self, stage: Stage) -> int:
        return 1 if stage.in_channels == 3 else self.groups
