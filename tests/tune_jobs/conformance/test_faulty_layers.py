"""Each fault of a layer is reported in one clear line for the right property."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from convnn.geometry import Stage
from convnn.plugins import LAYERS as GROUP
from search_spaces.base import Config, Factory, Infeasible
from search_spaces.models import VGGLayer
from search_spaces.models.vgg import LAYERS
from tests.tune_jobs.conformance.faults import assert_reported, faults
from tune_jobs.conformance.kinds import Subject

HERE = __name__


class Layer(nn.Conv2d):
    """A convolution with one fault."""

    def __init__(self, inputs: int, outputs: int, fault: str = "", reach: int = 1) -> None:
        super().__init__(inputs, outputs, 3, padding=1)
        if fault == "strict" and reach > 2:
            raise ValueError("too far")
        if fault == "random":
            self.weight.data *= 1 + random.Random().random()
        if fault == "unused":
            self.unused = nn.Parameter(torch.ones(1))
        self.fault, self.reach = fault, reach

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * (float("nan") if self.fault == "nan" else self.reach)


class _Layer(VGGLayer):
    config_version: ClassVar[int] = 1
    fault: ClassVar[str] = ""
    reach: Annotated[int, Field(ge=1, le=8, description="Factor of the outputs.")] = 1

    def arguments(self) -> dict[str, Any]:
        return {"layer": Factory("torch.nn:Conv2d" if self.fault == "torch" else f"{HERE}:Layer", self.options())}

    def options(self) -> dict[str, Any]:
        return {"kernel_size": 3, "padding": 1} if self.fault == "torch" else {"fault": self.fault, "reach": self.reach}


class Sound(_Layer):
    """A layer without faults."""

    kind: Literal["sound"]


class Silent(_Layer):
    """A field has no description."""

    kind: Literal["silent"]
    more: int = 1


class Listed(_Layer):
    """A field has a type that files do not support."""

    kind: Literal["listed"]
    more: Annotated[tuple[int, ...], Field(description="Several.")] = (1,)


class Required(_Layer):
    """A field has no default, and no tested value is valid."""

    kind: Literal["required"]
    more: Annotated[int, Field(ge=1000, description="A large number.")]


class Impossible(_Layer):
    """A default is not valid."""

    kind: Literal["impossible"]
    more: Annotated[int, Field(ge=10, description="A number.")] = 1


class Wandering(_Layer):
    """The canonical form is not canonical itself."""

    kind: Literal["wandering"]

    def canonical(self, stages: list[Stage]) -> VGGLayer:
        del stages
        return self.model_copy(update={"reach": self.reach - 1}) if self.reach > 1 else self


class Forgetful(_Layer):
    """The keys lack a field that matters."""

    kind: Literal["forgetful"]

    def key_content(self, stages: list[Stage]) -> dict[str, Any]:
        del stages
        return {"kind": self.kind}


class Unkeyed(_Layer):
    """The keys lack a field that matters only in training."""

    kind: Literal["unkeyed"]
    drop: Annotated[float, Field(ge=0, lt=1, description="Dropout.")] = 0.0

    def options(self) -> dict[str, Any]:
        return {**super().options(), "drop": self.drop}

    def key_content(self, stages: list[Stage]) -> dict[str, Any]:
        return {**super().key_content(stages), "drop": None}


class Unused(_Layer):
    """The keys have a field that no model depends on."""

    kind: Literal["unused"]
    more: Annotated[int, Field(ge=1, description="A number.")] = 1


class Merging(_Layer):
    """The canonical form drops a field that matters."""

    kind: Literal["merging"]

    def canonical(self, stages: list[Stage]) -> VGGLayer:
        del stages
        return self.model_copy(update={"reach": 1})


class Lenient(_Layer):
    """Settings that fail are declared feasible."""

    kind: Literal["lenient"]
    fault: ClassVar[str] = "strict"


class Strict(_Layer):
    """Settings that run are declared infeasible."""

    kind: Literal["strict"]

    def infeasibilities(self, stages: list[Stage]) -> Iterator[Infeasible]:
        del stages
        if self.reach > 2:
            yield Infeasible("model.layer.reach", "must be at most 2", str(self.reach), "use a smaller value")


class Unlearned(_Layer):
    """A weight has no gradient."""

    kind: Literal["unlearned"]
    fault: ClassVar[str] = "unused"


class Infinite(_Layer):
    """Its outputs are not finite."""

    kind: Literal["infinite"]
    fault: ClassVar[str] = "nan"


class Miscounted(_Layer):
    """It declares too many parameters."""

    kind: Literal["miscounted"]

    def parameters(self, stage: Stage) -> int:
        del stage
        return 10**9


class Misjudged(_Layer):
    """It declares wrong FLOPs."""

    kind: Literal["misjudged"]

    def parameters(self, stage: Stage) -> int:
        return 9 * stage.in_channels * stage.out_channels + stage.out_channels

    def flops(self, stage: Stage) -> int:
        return 18 * stage.side * stage.in_channels * stage.out_channels


class Seedless(_Layer):
    """Its weights do not come from torch's generator."""

    kind: Literal["seedless"]
    fault: ClassVar[str] = "random"


class Foreign(_Layer):
    """The builder of its modules is not in a plugin."""

    kind: Literal["foreign"]
    fault: ClassVar[str] = "torch"


LAYER_FAULTS: list[tuple[type[VGGLayer], str, str]] = [
    (Silent, "the schema describes it", "more must have a description: Field(description=...)"),
    (Listed, "the schema describes it", "more must be a number, text, a boolean, a Literal of words, or a Config"),
    (Required, "its defaults are valid", "the field more has no default, and none of (1, 2, 3"),
    (Impossible, "its defaults are valid", "the default of more must be a whole number, at least 10; got 1"),
    (Wandering, "its canonical form is stable", "is not canonical itself"),
    (
        Forgetful,
        "equal keys mean equal models",
        "settings with layer.reach: 1 and with layer.reach: 2 have the same key, but build different models; `key_con",
    ),
    (Unkeyed, "equal keys mean equal models", "settings with layer.drop: 0.0 and with layer.drop: 0.5 have the same"),
    (Unused, "each field of its key changes the model", "layer.more must change the model that is built, because"),
    (
        Merging,
        "equal keys mean equal models",
        "settings with layer.reach: 1 and with layer.reach: 2 have the same key, but with the same weights their out",
    ),
    (Lenient, "exactly the feasible settings can be built", "is declared feasible, but fails: ValueError: too far"),
    (
        Strict,
        "exactly the feasible settings can be built",
        "is declared infeasible (model.layer.reach must be at most",
    ),
    (Unlearned, "forward and backward", "has weights without a gradient: features.0.unused"),
    (Infinite, "forward and backward", "returns values that are not finite"),
    (Miscounted, "its declared size matches the built model", "parameters, but the built model has"),
    (Misjudged, "its declared size matches the built model", "FLOPs, but the built model has"),
    (Seedless, "the same seed gives the same weights", "trained twice with the same seed has different weights"),
    (Foreign, "a saved model loads again", "its model must be built by one of"),
]


def layer(kind: type[Config]) -> Subject:
    return Subject(GROUP, kind.__name__.lower(), None, kind, "search_spaces.models.vgg", "kind")


def test_a_layer_without_faults_passes_all_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convnn.saved.packages", lambda: {"convnn", "tests"})
    assert faults(layer(Sound), LAYERS.registered(Sound)) == {}


@pytest.mark.parametrize(("kind", "broken", "said"), LAYER_FAULTS, ids=lambda each: getattr(each, "__name__", ""))
def test_a_fault_of_a_layer_is_reported_in_one_line(kind: type[VGGLayer], broken: str, said: str) -> None:
    assert_reported(layer(kind), LAYERS.registered(kind), broken, said)


def test_settings_that_import_torch_or_fail_to_import_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "heavy_settings.py").write_text("import torch\n")
    (tmp_path / "no_settings.py").write_text("import no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    name = "its settings load without torch"
    heavy = faults(replace(layer(Sound), module="heavy_settings"), LAYERS.registered(Sound), name)[name]
    assert heavy.startswith(
        "heavy_settings imports 'torch'; move the code that needs it to another module, and refer to it as"
    )
    absent = faults(replace(layer(Sound), module="no_settings"), LAYERS.registered(Sound), name)[name]
    assert absent == "no_settings cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"
