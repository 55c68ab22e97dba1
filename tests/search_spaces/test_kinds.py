"""The kinds that a configuration uses, and their part in its keys."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field

from convnn.data.facts import DatasetFacts, register_dataset, unregister_dataset
from convnn.geometry import Stage
from search_spaces import TrialConfig, canonical, config_key, load_sweep, parse_sweep, presets
from search_spaces.kinds import declared_versions, kinds_below, kinds_in
from search_spaces.models import MODELS, VGGLayer
from search_spaces.models.vgg import LAYERS, Conv2dLayer
from search_spaces.models.vit import ATTENTIONS


class First(VGGLayer):
    """A kind whose author forgets the name in its keys."""

    config_version: ClassVar[int] = 1
    kind: Literal["kept"]
    reach: Annotated[int, Field(ge=1, description="Pixels.")] = 1

    def canonical(self, stages: list[Stage]) -> VGGLayer:
        del stages
        return Conv2dLayer(kind="conv2d", kernel_size=1) if self.reach == 1 else self

    def key_content(self, stages: list[Stage]) -> dict[str, Any]:
        del stages
        return {"reach": self.reach}


class Second(First):
    """A kind with the same name and another meaning."""

    config_version: ClassVar[int] = 2


class Renamed(First):
    """A kind with the same meaning and another name."""

    kind: Literal["renamed"]  # type: ignore[assignment]


def trial(kind: str, reach: int) -> TrialConfig:
    return TrialConfig.model_validate({"model": {"name": "vgg11", "layer": {"kind": kind, "reach": reach}}})


def key(kind: type[First], name: str, reach: int) -> str:
    with LAYERS.registered(kind):
        return config_key(trial(name, reach))


def test_keys_contain_the_name_and_version_of_a_plugin_kind() -> None:
    keys = [key(First, "kept", 2), key(Second, "kept", 2), key(Renamed, "renamed", 2)]
    assert len(set(keys)) == 3
    assert keys[0] == key(First, "kept", 2) != key(First, "kept", 3)


def test_a_plugin_kind_equal_to_a_built_in_one_has_its_key() -> None:
    ours = TrialConfig.model_validate({"model": {"name": "vgg11", "layer": {"kind": "conv2d", "kernel_size": 1}}})
    with LAYERS.registered(First):
        assert config_key(trial("kept", 1)) == config_key(ours)
        assert declared_versions(canonical(trial("kept", 1))) == {}
        assert declared_versions(canonical(trial("kept", 2))) == {"model.layer": ["kept", 1]}


class Noted(First):
    """A kind with a field that its keys do not contain."""

    note: Annotated[int, Field(description="A field without effect.")] = 0


def by_depth(**layers: dict[str, Any]) -> TrialConfig:
    named = {name.replace("_", "-"): layer for name, layer in layers.items()}
    return TrialConfig.model_validate({"model": {"name": "vgg11", "layers": named}})


def test_layers_by_depth_declare_a_version_per_stage_so_that_keys_do_not_depend_on_ranges() -> None:
    other = {"kind": "conv2d"}
    with LAYERS.registered(Noted):
        one, two = ({"kind": "kept", "reach": 2, "note": note} for note in (1, 2))
        together, apart = (
            by_depth(conv1_conv2=one, conv3_conv8=other),
            by_depth(conv1=one, conv2=two, conv3_conv8=other),
        )
        assert declared_versions(canonical(together)) == {f"model.layers.conv{stage}": ["kept", 1] for stage in (1, 2)}
        assert config_key(together) == config_key(apart)
        text = f"name: x\nspace: {{model: {{layers: {{conv1: {one}, conv2-conv8: {other}}}}}}}"
        assert {"kept", "conv2d"} <= {kind.name for kind in kinds_below(parse_sweep(text).space.root)}
        assert {"kept", "conv2d"} <= {kind.name for kind in kinds_in(together)}


@pytest.fixture
def versions() -> Iterator[list[DatasetFacts]]:
    made = [DatasetFacts(2, 8, 4, (0.5,) * 3, (0.5,) * 3, config_version=number) for number in (1, 2)]
    yield made
    unregister_dataset("versioned")


def test_another_version_of_a_data_set_has_other_keys(versions: list[DatasetFacts]) -> None:
    config = {"data": {"name": "versioned"}, "model": {"name": "vgg11", "layer": {"kind": "conv2d"}}}
    keys = []
    for facts in versions:
        unregister_dataset("versioned")
        register_dataset("versioned", facts, lambda _: None)
        keys.append(config_key(TrialConfig.model_validate(config)))
    assert keys[0] != keys[1]


def test_the_kinds_of_a_space_include_those_of_its_configurations() -> None:
    known = {*MODELS.words(), *LAYERS.words(), *ATTENTIONS.words()}
    for name in presets.names():
        space = load_sweep(name).space
        said = {(kind.group, kind.name) for kind in kinds_below(space.root)}
        names = {each for _, each in said}
        assert all(kind.config_version is None for kind in kinds_below(space.root))
        for _, config in space.sample(40):
            assert {kind.name for kind in kinds_in(config)} & known <= names, name
