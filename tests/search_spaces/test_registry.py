"""Other packages can register models, layers, data sets, samplers and stopping rules for use in files."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from convnn.data.facts import DatasetFacts, register_dataset, unregister_dataset
from convnn.plugins import GROUP
from search_spaces import Decided, TrialConfig, canonical, config_key, json_schema, parse_sweep
from search_spaces.base import Config, Decides, Factory, Infeasible
from search_spaces.domains import smallest
from search_spaces.headline import HEADLINE, headline
from search_spaces.memory import least_memory_gb
from search_spaces.models import MODELS, VGG11, MixingLayer, ModelConfig, VGGLayer, ViTAttention
from search_spaces.models.vgg import LAYERS
from search_spaces.models.vit import ATTENTIONS
from search_spaces.settings import RULES, SAMPLERS, SamplerSettings, Stopping
from tests.search_spaces.read import complaint

ROOT = Path(__file__).parents[2]


class Linear(ModelConfig):
    """A linear map from pixels to logits."""

    name: Literal["linear"]
    hidden: Annotated[int, Field(ge=1, description="Hidden units."), Decides(smallest)] = 8

    @property
    def mixing_layer(self) -> MixingLayer:
        return MixingLayer()

    def factory(self, classes: int) -> Factory:
        return Factory("torch.nn:Linear", {"in_features": self.hidden, "out_features": classes})

    def infeasibilities(self) -> Iterator[Infeasible]:
        if self.hidden > 64:
            yield Infeasible("model.hidden", "must be at most 64", str(self.hidden), "take fewer")


class Pointwise(VGGLayer):
    """A 1x1 convolution."""

    kind: Literal["pointwise"]
    bias: bool = True

    def arguments(self) -> dict[str, Any]:
        return {"layer": Factory("torch.nn:Conv2d", {"kernel_size": 1, "bias": self.bias})}


class Windowed(ViTAttention):
    """One of our attentions under another name."""

    kind: Literal["windowed"]
    reach: Annotated[int, Field(ge=1)] = 3

    def arguments(self) -> dict[str, Any]:
        return {"attention": Factory("convnn.attention:LocalAttention", {"window": self.reach})}


class Sobol(SamplerSettings):
    """Points of a Sobol sequence."""

    sampler: Literal["sobol"]
    trials: Annotated[int, Field(ge=1, description="Configurations to train.")]
    scramble: bool = True


class Threshold(Stopping):
    """Stop a trial below a value."""

    kind: Literal["threshold"]
    warmup_epochs: Annotated[int, Field(ge=0)] = 2


SPACE = "name: mine\nspace: {model: %s}\n"
LAYER = "{name: vgg11, width: 0.0625, layer: {kind: pointwise, bias: {choice: [true, false]}}}"


def test_a_custom_model_works_like_a_built_in_one() -> None:
    text = SPACE % "{name: linear, hidden: {choice: [4, 8, 99]}}" + "constraints: [hidden <= 8]"
    with MODELS.registered(Linear):
        never = "lists 99, which can never run: it must be at most 64, got 99; take fewer."
        assert complaint(text) == f"sweep.yaml:2:39: space.model.hidden {never}"
        spec = parse_sweep(text.replace(", 99", ""))
        trials = [spec.space.resolve(Decided(point)) for point in spec.space.points()]
        assert [trial.model for trial in trials] == [Linear(name="linear", hidden=4), Linear(name="linear", hidden=8)]
        assert len({config_key(trial) for trial in trials}) == spec.planned() == 2
        again = TrialConfig.model_validate_json(trials[0].model_dump_json(by_alias=True))
        assert again == canonical(again) == trials[0]
        assert (list(headline(again)), headline(again)["lambda"], headline(again)["k"]) == ([*HEADLINE], 0.0, None)
        assert least_memory_gb(again) == 0
        assert again.model.flops(10) is None
        fault = complaint(SPACE % "{name: linear, hiden: 4}")
        assert fault.endswith("space.model.hiden is not a field of linear; did you mean 'hidden'?")
        assert complaint(SPACE % "{name: liner}").endswith(
            "one of vgg11, vit_tiny, linear; got 'liner'; did you mean 'linear'?"
        )
        assert "Linear" in json_schema()["$defs"]
    assert "one of vgg11, vit_tiny; got 'linear'" in complaint(text)
    assert "Linear" not in json_schema()["$defs"]


def test_a_custom_layer_is_built_and_learns() -> None:
    import torch

    from tune_jobs.worker.build import build_model

    with LAYERS.registered(Pointwise):
        spec = parse_sweep(SPACE % LAYER)
        one, other = (spec.space.resolve(Decided(point)) for point in spec.space.points())
        assert config_key(one) != config_key(other)
        assert isinstance(one.model, VGG11)
        torch.manual_seed(0)
        model = build_model(one.model, 10)
        assert type(model.get_submodule("features.0")) is torch.nn.Conv2d
        logits = model(torch.randn(2, 3, 32, 32))
        torch.nn.functional.cross_entropy(logits, torch.tensor([3, 7])).backward()
        assert all(weight.grad is not None for weight in model.parameters())
    assert "must be one of conv2d, convnn, hybrid; got 'pointwise'" in complaint(SPACE % LAYER)


def test_the_example_of_the_documentation_works() -> None:
    from tune_jobs.worker.build import build_model

    (code,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "how-to" / "extending.md").read_text(), flags=re.DOTALL
    )
    example: dict[str, Any] = {"__name__": "example"}
    exec(code, example)  # noqa: S102 - code of our documentation
    try:
        layer = "{kind: dilated, dilation: {choice: [1, 2, 4]}}"
        spec = parse_sweep(SPACE % f"{{name: vgg11, width: 0.0625, classifier_width: 4, layer: {layer}}}")
        trials = [spec.space.resolve(Decided(point)) for point in spec.space.points()]
        models = [build_model(trial.model, 10) for trial in trials]
        assert [model.get_submodule("features.0").dilation for model in models] == [(1, 1), (2, 2), (4, 4)]
    finally:
        LAYERS.unregister(example["Dilated"])


def test_a_custom_attention_is_built_with_channels_and_heads() -> None:
    import torch

    from convnn.attention import LocalAttention
    from tune_jobs.worker.build import build_model

    small = {"name": "vit_tiny", "depth": 1, "dim": 8, "heads": 2, "mlp_width": 4, "image_size": 32}
    with ATTENTIONS.registered(Windowed):
        trial = TrialConfig.model_validate({"model": {**small, "attention": {"kind": "windowed", "reach": 2}}})
        model = build_model(trial.model, 10)
        (found,) = (module for module in model.modules() if isinstance(module, LocalAttention))
        assert (found.window, found.heads) == (2, 2)
        assert model(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_a_custom_data_set_can_be_used() -> None:
    text = SPACE % "{layer: {kind: conv2d}}, data: {name: tiny}"
    assert "must be one of digits, cifar10, cifar100; got 'tiny'" in complaint(text)
    facts = DatasetFacts(2, 8, 4, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    register_dataset("tiny", facts, lambda _: None)
    try:
        (data,) = parse_sweep(text).space.data_sets()
        assert data.name == "tiny"
        assert json_schema()["$defs"]["Data"]["properties"]["name"]["anyOf"][0]["enum"][-1] == "tiny"
        with pytest.raises(ValueError, match="the name 'tiny' is already used by another data set; choose"):
            register_dataset("tiny", facts, lambda _: 1)
    finally:
        unregister_dataset("tiny")
    assert "got 'tiny'" in complaint(text)


def test_custom_samplers_and_stopping_rules_are_validated_like_built_in_ones() -> None:
    text = SPACE % "{layer: {kind: conv2d}}" + "search: {sampler: sobol, trials: 3}\nstopping: {kind: threshold}\n"
    with SAMPLERS.registered(Sobol), RULES.registered(Threshold):
        spec = parse_sweep(text)
        assert spec.search == Sobol(sampler="sobol", trials=3)
        assert spec.stopping == Threshold(kind="threshold")
        assert (spec.describe()["sampler"], spec.describe()["trials"], spec.describe()["stopping"]) == (
            "sobol",
            3,
            "threshold",
        )
        assert spec.identity()["search.scramble"] is True
        assert "search.trials must be a whole number, at least 1; got 0." in complaint(text.replace("3", "0"))
        assert "stopping.warmup is not a field of kind threshold; " in complaint(
            text.replace("threshold}", "threshold, warmup: 1}")
        )
        definitions = json_schema()["$defs"]
        assert {"Sobol", "Threshold"} <= set(definitions)
        assert "description" in definitions["Sobol"]["properties"]["trials"]
    assert "search.sampler must be one of tpe, random, grid; got 'sobol'." in complaint(text)
    assert "stopping.kind must be one of none, asha, hyperband, median, patience, auto; got 'threshold'." in complaint(
        text
    )


def test_invalid_classes_cannot_be_registered() -> None:
    class Nameless(SamplerSettings):
        pass

    class Again(SamplerSettings):
        sampler: Literal["tpe"]

    with pytest.raises(TypeError, match="must be a subclass of SamplerSettings"):
        SAMPLERS.register(Config)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"Nameless\.sampler must be a Literal of its name"):
        SAMPLERS.register(Nameless)
    with pytest.raises(ValueError, match="sampler 'tpe' is already used by Tpe; choose another name"):
        SAMPLERS.register(Again)


PLUGIN = """
from typing import Literal
from search_spaces.base import Factory
from search_spaces.models import ModelConfig, VGGLayer, register_layer, register_model

@register_model
class Plugged(ModelConfig):
    name: Literal["plugged"]
    def factory(self, classes):
        return Factory("torch.nn:Identity")

class Layer(VGGLayer):
    kind: Literal["plugged_layer"]

def register():
    register_layer(Layer)
"""


@pytest.fixture
def plugged(tmp_path: Path) -> dict[str, str]:
    """Return an environment with a package that has three entry points, one of them broken."""
    (tmp_path / "their_models.py").write_text(PLUGIN)
    info = tmp_path / "their_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-models\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[{GROUP}]\nbroken = no_such_module:x\nplugged = their_models:Plugged\nlayers = their_models:register\n"
    )
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}


def convnn(environment: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    code = "import sys; from tune_jobs.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


BROKEN = (
    "the entry point broken = no_such_module:x of their-models (convnn_sweeps.models) failed to load and is "
    "skipped: ModuleNotFoundError: No module named 'no_such_module'; fix or uninstall that package.\n"
)


def test_an_entry_point_registers_and_a_broken_one_is_logged_on_one_line(
    plugged: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(SPACE % "{any_of: [{name: plugged}, {name: vgg11, layer: {kind: plugged_layer}}]}")
    done = convnn(plugged, "validate", file)
    assert (done.returncode, done.stderr) == (0, BROKEN)
    assert done.stdout.startswith("mine: valid. ")
    schema = convnn(plugged, "schema")
    assert "Plugged" in json.loads(schema.stdout)["$defs"]
    assert schema.stderr == BROKEN


def test_entry_points_are_not_loaded_if_all_names_are_known(plugged: dict[str, str]) -> None:
    code = (
        "from search_spaces import TrialConfig; "
        "TrialConfig.model_validate({'model': {'name': 'vgg11', 'layer': {'kind': 'conv2d'}}}); "
        "from search_spaces.registry import _State; print(_State.loaded); "
        "print(TrialConfig.model_validate({'model': {'name': 'plugged'}}).model.name)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=plugged, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "plugged"]
    assert convnn(plugged, "list").stderr == convnn(plugged, "--help").stderr == ""
