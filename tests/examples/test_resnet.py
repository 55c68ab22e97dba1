"""The model of examples/resnet: at lambda 0 it is the published ResNet; settings, keys and limits."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch
from convnn_resnet.settings import SHAPES, ResNet
from torch import Tensor, nn
from torch.nn import functional as F

from convnn import plugins
from convnn.data.facts import registered_dataset
from search_spaces import Decided, TrialConfig, config_key, infeasibilities, load_sweep, parse_sweep
from search_spaces.models import MODELS
from tests.search_spaces.read import complaint
from tune_jobs.conformance import models, outcome
from tune_jobs.conformance.kinds import Subject
from tune_jobs.evidence.arms import is_plain
from tune_jobs.planning.plan import plan
from tune_jobs.results.columns import axes, fields, varying
from tune_jobs.worker.build import build_model

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "resnet"
CONV = {"kind": "conv2d"}
PUBLISHED = {3: 0.27, 5: 0.46, 7: 0.66, 9: 0.85}
"""Millions of parameters of He et al., Table 6, by n."""


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    with registered_dataset("shapes", SHAPES), MODELS.registered(ResNet):
        yield


def trial(**fields: Any) -> TrialConfig:
    model = {"name": "resnet", "stage1": CONV, "stage2": CONV, "stage3": CONV, **fields}
    return TrialConfig.model_validate({"model": model})


class Plain(nn.Module):
    """The published ResNet, in another form: convolutions with a stride, and a list of shortcuts."""

    def __init__(self, n: int, width: int, kernel_size: int = 3) -> None:
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        shapes = [(width, width, 1), (width, 2 * width, 2), (2 * width, 4 * width, 2)]
        each = [(i, o, s) if block == 0 else (o, o, 1) for i, o, s in shapes for block in range(n)]
        pairs = [[(i, o, s), (o, o, 1)] for i, o, s in each]
        around = kernel_size // 2
        self.convolutions = nn.ModuleList(
            nn.Conv2d(i, o, kernel_size, stride=s, padding=around) for pair in pairs for i, o, s in pair
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for pair in pairs for _, o, _ in pair)
        self.classifier = nn.Linear(4 * width, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.stem_norm(self.stem(images)))
        for number in range(0, len(self.convolutions), 2):
            first, second = self.convolutions[number : number + 2]
            inner = F.relu(self.norms[number](first(x)))
            inner = self.norms[number + 1](second(inner))
            shortcut = torch.zeros_like(inner)
            shortcut[:, : x.shape[1]] = x if x.shape[-1] == inner.shape[-1] else x[..., ::2, ::2]
            x = F.relu(inner + shortcut)
        logits: Tensor = self.classifier(x.mean((2, 3)))
        return logits


def with_weights_of(model: nn.Module, plain: Plain, branch: str) -> Plain:
    """Copy the weights; a convolution and the 1x1 convolution after it are one convolution."""
    blocks = [block for block in model.children() if type(block).__name__ == "Block"]
    layers = [layer for block in blocks for layer in (block.get_submodule("first"), block.get_submodule("second"))]
    norms = [
        norm for block in blocks for norm in (block.get_submodule("first_norm"), block.get_submodule("second_norm"))
    ]
    stem, norm, *_, classifier = model.children()
    with torch.no_grad():
        for layer, target in zip(layers, plain.convolutions, strict=True):
            conv, fuse = layer.get_submodule(branch), layer.get_submodule("fuse")
            assert isinstance(target, nn.Conv2d)
            weight, mix = conv.get_parameter("weight"), fuse.get_parameter("weight").flatten(1)
            target.weight.copy_((mix @ weight.flatten(1)).reshape(target.weight.shape))
            assert target.bias is not None
            target.bias.copy_(mix @ conv.get_parameter("bias") + fuse.get_parameter("bias"))
        pairs = [(stem, plain.stem), (norm, plain.stem_norm), (classifier, plain.classifier)]
        for source, goal in [*pairs, *zip(norms, plain.norms, strict=True)]:
            goal.load_state_dict(source.state_dict())
    return plain


@pytest.mark.parametrize(
    ("layer", "kernel_size", "branch"),
    [
        ({"kind": "hybrid", "lambda": 0.0}, 3, "conv"),
        ({"kind": "hybrid", "lambda": 1.0, "k": 1}, 1, "convnn.conv"),
    ],
    ids=["lambda 0: 3x3 convolutions", "lambda 1 and k 1: 1x1 convolutions"],
)
def test_it_is_the_published_resnet_of_plain_convolutions(layer: dict[str, Any], kernel_size: int, branch: str) -> None:
    torch.manual_seed(0)
    config = trial(n=2, width=5, stage1=layer, stage2=layer, stage3=layer)
    model = build_model(config.model, 10).double()
    for norm in (each for each in model.modules() if isinstance(each, nn.BatchNorm2d)):
        norm.weight.data.uniform_(0.5, 1.5)
        norm.bias.data.uniform_(-0.5, 0.5)
    plain = with_weights_of(model, Plain(2, 5, kernel_size).double(), branch)
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(model.train()(images), plain.train()(images))
    torch.testing.assert_close(model.eval()(images), plain.eval()(images))  # with the running statistics of that step


@pytest.mark.parametrize("n", PUBLISHED)
def test_without_biases_and_1x1_convolutions_it_has_the_published_number_of_parameters(n: int) -> None:
    model = trial(n=n).model
    layers = [each for stage in (16, 32, 64) for each in [stage] * 2 * n]
    assert round((model.parameters(10) - sum(out**2 + 2 * out for out in layers)) / 1e6, 2) == PUBLISHED[n]


def test_lambda_0_and_a_convolution_are_one_configuration_in_each_stage() -> None:
    zeros = [{"kind": "hybrid", "lambda": 0.0, "k": k} for k in (2, 9)]
    same = [CONV, *zeros, {"kind": "hybrid", "lambda": 0.01}]  # 1% of 64 channels are none
    assert len({config_key(trial(stage2=one, stage3=other)) for one in same for other in same}) == 1
    ones = [{"kind": "hybrid", "lambda": 1.0}, {"kind": "convnn"}]
    assert len({config_key(trial(stage2=one)) for one in ones}) == 1
    keys = {config_key(trial(**{stage: ones[0]})) for stage in ("stage1", "stage2", "stage3")}
    assert len(keys | {config_key(trial())}) == 4


def test_too_few_tokens_are_reported_with_the_stage() -> None:
    layer = {"kind": "hybrid", "lambda": 0.5, "k": 9, "padding": 0, "candidates": {"kind": "random", "r": 100}}
    reasons = [(each.path, each.message) for each in infeasibilities(trial(stage2=layer, stage3=layer))]
    rule = "must be at most 64 for stage3 (8 x 8 tokens, ring 0: 64 candidates), got 100"
    assert reasons == [("model.stage3.candidates.r", f"{rule}; use a smaller r, or when_too_few: all.")]
    lattice = {"kind": "convnn", "candidates": {"kind": "lattice", "side": 12}}
    (reason,) = infeasibilities(trial(stage3=lattice))
    assert reason.path == "model.stage3.candidates.side"
    assert [*infeasibilities(trial(stage2=lattice))] == []


def test_a_file_whose_stage_can_never_run_is_refused() -> None:
    stage = "{kind: convnn, k: {int: [400, 500]}, padding: 0}"
    file = f"name: x\nspace: {{model: {{name: resnet, stage1: {CONV}, stage2: {stage}, stage3: {CONV}}}}}"
    said = complaint(file)
    assert "space.model.stage2.k" in said
    assert "must be at most 256 for stage2 (16 x 16 tokens, ring 0: 256 candidates)" in said


def test_all_stages_must_be_given() -> None:
    file = "name: x\nspace: {model: {name: resnet, stage1: {kind: conv2d}, stage2: {kind: conv2d}}}"
    assert "stage3 is missing" in complaint(file)


def test_tables_have_the_lambda_of_each_stage() -> None:
    hybrid = "{kind: hybrid, lambda: {choice: [0, 0.5, 1]}, k: 9}"
    file = f"name: x\nspace: {{model: {{name: resnet, stage1: {hybrid}, stage2: {hybrid}, stage3: {{kind: conv2d}}}}}}"
    space = parse_sweep(file).space
    trials = [space.resolve(Decided(point)) for point in space.points()]
    columns = varying(trials)
    assert [column.name for column in columns] == ["stage1.lambda", "stage2.lambda"]
    assert [column.axis for column in axes(trials, columns)] == ["model.stage1.lambda", "model.stage2.lambda"]
    found = [tuple(fields(each)[column.key] for column in columns) for each in trials]
    assert sorted(found) == [(one, other) for one in (0.0, 0.5, 1.0) for other in (0.0, 0.5, 1.0)]


@pytest.mark.parametrize(("file", "trials"), [("lambda_by_stage", 27), ("shapes", 12)])
def test_each_combination_of_lambdas_in_the_sweep_files_can_run_and_is_one_trial(file: str, trials: int) -> None:
    spec = load_sweep(str(EXAMPLE / f"{file}.yaml"))
    found = [spec.space.resolve(Decided(point)) for point in spec.space.points()]
    assert len({config_key(each) for each in found}) == trials
    assert not [each for each in found if [*spec.infeasibilities(each)]]


def test_plain_convolutions_in_all_stages_are_a_baseline() -> None:
    assert is_plain(trial(stage2={"kind": "hybrid", "lambda": 0.0}))
    assert not is_plain(trial(stage2={"kind": "hybrid", "lambda": 0.5}))


def test_a_plan_shows_what_varies_in_each_stage() -> None:
    largest = plan(load_sweep(str(EXAMPLE / "shapes.yaml"))).trial_costs["largest"]
    assert largest.params == {"stage1.lambda": 0.5, "stage2.lambda": 0.5, "stage3.lambda": 1.0, "stage3.k": 9}


def checked(broken: type[ResNet], name: str) -> str:
    """Return the lines of `convnn check-plugin` for a property of another version of the model."""
    MODELS.unregister(ResNet)
    with MODELS.registered(broken):
        subject = Subject(plugins.MODELS, "resnet", None, broken, broken.__module__, "name")
        (found,) = outcome.checked([each for each in models.properties(subject) if each[0] == name])
    return str(found)


class Forgetful(ResNet):
    """Counts no FLOPs of the first convolution."""

    def flops(self, classes: int) -> int | None:
        return (super().flops(classes) or 0) - 2 * 27 * self.width * 32**2


class Widthless(ResNet):
    """Its key lacks a field, which the small version of the model does not show."""

    def key_content(self) -> dict[str, Any]:
        return {**super().key_content(), "width": 0}


def test_a_key_without_a_field_is_found_by_the_settings_that_differ_only_there() -> None:
    said = checked(Widthless, "equal keys mean equal models")
    assert said.startswith(
        "FAIL  equal keys mean equal models: settings with width: 16 and with width: 17 have the sam"
    )
    assert len(said) < 300


def test_the_tutorial_shows_what_the_checks_say_of_a_broken_model(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "tutorial" / "own-model.md").read_text()
    line = checked(Forgetful, "its declared size matches the built model")
    head, _, _ = line.partition(" stage1")
    _, _, tail = line.rpartition("}")
    assert f"    {head} ...}}{tail}\n" in page
    monkeypatch.setattr(ResNet, "config_version", None)
    MODELS.unregister(ResNet)
    with pytest.raises(TypeError) as refused:
        MODELS.add(EntryPoint("resnet", "convnn_resnet.settings:ResNet", plugins.MODELS))
    assert f"    FAIL  it can be registered: convnn_resnet.settings:ResNet: TypeError: {refused.value}\n" in page
