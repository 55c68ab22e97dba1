"""TrialConfig: one concrete run, fully described. A space is this same tree with domains at its leaves.

Every field is declared, documented and limited here and nowhere else.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


@dataclass(frozen=True)
class Rule:
    """The limits of a field in words, where the types alone do not say them."""

    text: str


class Config(BaseModel):
    """Frozen; an unknown key is an error, and no text is taken for a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("must be odd")
    return value


KernelSize = Annotated[
    int,
    Field(ge=1, le=31, json_schema_extra={"not": {"multipleOf": 2}}),
    AfterValidator(_odd),
    Rule("an odd whole number, 1 to 31 (so that maps keep their size)"),
]


class AllCandidates(Config):
    """Every token of the padded map may become a neighbor."""

    kind: Literal["all"] = "all"


class RandomCandidates(Config):
    """`r` tokens, drawn anew at every forward pass and shared by the batch (paper 4.2)."""

    kind: Literal["random"]
    r: Annotated[int, Field(ge=1, le=1_000_000, description="Tokens drawn from the padded map.")]
    when_too_few: Annotated[
        Literal["error", "all"], Field(description="On a map with fewer than r tokens: refuse, or take all of them.")
    ] = "error"


Candidates = Annotated[AllCandidates | RandomCandidates, Field(discriminator="kind")]


class Conv2dLayer(Config):
    """The paper's baseline: a convolution and the 1x1 fuse; the same as a hybrid with lambda 0."""

    kind: Literal["conv2d"]
    kernel_size: KernelSize = 3


class _ConvNNFields(Config):
    k: Annotated[int, Field(ge=1, le=1_000_000, description="Neighbors per token.")] = 9
    similarity: Annotated[Literal["cosine", "euclidean"], Field(description="What makes two tokens alike.")] = "cosine"
    rho: Annotated[
        Literal["constant", "softmax"], Field(description="How neighbors are weighed before aggregation (paper 4.1).")
    ] = "constant"
    aggregation: Annotated[
        Literal["standard"], Field(description="The Conv1d that turns k neighbors into one output.")
    ] = "standard"
    padding: Annotated[
        int,
        Field(ge=0, le=15, description="Width of the ring of zero tokens that joins the candidates; 1 as published."),
    ] = 1
    self_first: Annotated[bool, Field(description="Each token is its own first neighbor, as published.")] = True
    candidates: Candidates = AllCandidates()


class ConvNNLayer(_ConvNNFields):
    """ConvNN alone; the same as a hybrid with lambda 1."""

    kind: Literal["convnn"]


class HybridLayer(_ConvNNFields):
    """ConvNN and a convolution side by side (paper 4.3)."""

    kind: Literal["hybrid"]
    lam: Annotated[
        float, Field(alias="lambda", ge=0, le=1, description="Share of the layer's output channels from ConvNN.")
    ]
    kernel_size: KernelSize = 3


Layer = Annotated[Conv2dLayer | ConvNNLayer | HybridLayer, Field(discriminator="kind")]


class VGG11(Config):
    """VGG-11 as published: 8 layers of one kind, batch norm, a classifier over 7 x 7 positions."""

    name: Literal["vgg11"] = "vgg11"
    width: Annotated[float, Field(gt=0, le=4, description="Multiplies every layer's channels.")] = 1.0
    classifier_width: Annotated[int, Field(ge=1, le=65536, description="Units of both hidden classifier layers.")] = (
        4096
    )
    dropout: Annotated[float, Field(ge=0, lt=1, description="After each hidden classifier layer.")] = 0.5
    layer: Layer


class Data(Config):
    """Which images."""

    name: Annotated[Literal["digits", "cifar10", "cifar100"], Field(description="digits needs no files.")] = "digits"
    root: Annotated[
        str | None,
        Field(
            min_length=1, description="Folder of Parquet files, or torchvision's (downloaded into it); ~/data if null."
        ),
    ] = None
    limit: Annotated[
        int | None,
        Field(ge=1, le=10**9, description="At most about so many images of each split, the classes in proportion."),
    ] = None


class Training(Config):
    """How to train; the defaults are the published runs'."""

    lr: Annotated[float, Field(gt=0, le=10, description="Learning rate.")] = 1e-4
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 150
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 256
    optimizer: Annotated[Literal["adamw", "sgd"], Field(description="sgd has momentum 0.9.")] = "adamw"
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.01
    clip_norm: Annotated[float | None, Field(gt=0, description="Largest gradient norm; null does not clip.")] = 1.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1, description="Of the cross-entropy loss.")] = 0.0
    schedule: Annotated[
        Literal["constant", "cosine"], Field(description="Of the learning rate; cosine ends at 0 after the last epoch.")
    ] = "constant"
    augmentation: Annotated[
        Literal["none", "flip_shift"], Field(description="flip_shift mirrors, and shifts by up to 4 pixels.")
    ] = "none"
    precision: Annotated[Literal["fp32", "tf32", "bf16"], Field(description="tf32 needs an NVIDIA GPU.")] = "fp32"
    compile: Annotated[bool, Field(description="Use torch.compile.")] = False
    seed: Annotated[int, Field(ge=0, lt=2**31, description="Covers initial weights, batch order and dropout.")] = 0


class TrialConfig(Config):
    """One run: its data, its model, its training."""

    data: Data = Data()
    model: VGG11
    training: Training = Training()
