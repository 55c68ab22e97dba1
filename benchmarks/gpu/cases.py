"""The benchmark's cases: models of the published runs in three precisions, at full size or small for a test."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from convnn.data.facts import DATASETS
from convnn.models.vgg import vgg11
from convnn.models.vit import vit_tiny
from convnn.precision import Precision

FACTS = DATASETS["cifar10"]
CLASSES = 10


@dataclass(frozen=True)
class Size:
    """Sizes of models, batches and layers."""

    batch: int
    parity_images: int
    evaluated: int
    vgg: dict[str, Any]
    vit: dict[str, Any]
    layer_batches: tuple[int, ...]
    layer_passes: int
    layer_tokens: int


FULL = Size(256, 10, 4, {}, {}, (32, 256), 10, 197)
SMALL = Size(
    batch=2,
    parity_images=4,
    evaluated=1,
    vgg={"width": 0.125, "classifier_width": 64},
    vit={"image_size": 32, "patch_size": 4, "depth": 1},
    layer_batches=(2,),
    layer_passes=1,
    layer_tokens=65,
)


@dataclass(frozen=True)
class Model:
    """A model of the published runs, by name."""

    name: str
    options: dict[str, Any]

    def build(self, size: Size, *, repeatable: bool = False) -> nn.Module:
        """Build the model; a repeatable one uses the same candidates at every evaluation, on every device."""
        options = dict(self.options)
        if repeatable and options.get("candidates") == "random":
            options["fixed_at_evaluation"] = True
        if self.name.startswith("VGG"):
            return vgg11(CLASSES, **size.vgg, **options)
        return vit_tiny(CLASSES, **size.vit, **options)


_CONVNN: dict[str, Any] = {"attention": "convnn", "k": 9, "similarity": "dot"}
_R32: dict[str, Any] = {**_CONVNN, "candidates": "random", "r": 32}
HALF = Model("VGG-11, lambda 0.5", {"lam": 0.5, "k": 9})
R32 = Model("ViT-Tiny, ConvNN, r 32", _R32)
FIRST = Model("ViT-Tiny, ConvNN, r 32, self first", {**_R32, "self_first": True, "self_score": 1.0, "rho": "softmax"})
OTHERS = [
    Model("VGG-11, lambda 1", {"lam": 1.0, "k": 9}),
    Model("VGG-11, lambda 1, r 64", {"lam": 1.0, "k": 9, "candidates": "random", "r": 64, "when_too_few": "all"}),
    Model("ViT-Tiny, ConvNN, all", _CONVNN),
    Model("VGG-11, lambda 0", {"lam": 0.0, "k": 9}),
    Model("ViT-Tiny, attention", {"attention": "attention"}),
]
ORDER: list[tuple[Model, Precision]] = [
    *((model, precision) for precision in ("bf16", "fp32") for model in (HALF, R32, FIRST)),
    *((model, precision) for precision in ("bf16", "fp32") for model in OTHERS),
    *((model, "tf32") for model in (HALF, R32, FIRST, *OTHERS)),
]
"""The most important cases first, because time may run out."""

WITH_KERNELS = {(HALF.name, "bf16"), (R32.name, "bf16")}


MODELS = {model.name: model for model, _ in ORDER}
