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
    int, Field(ge=1, le=31, description="Side of the convolution's kernel; its padding keeps the map's size.")
]


WhenTooFew = Annotated[
    Literal["error", "all"], Field(description="On a map with fewer tokens than asked: refuse, or take all of them.")
]


class AllCandidates(Config):
    """Every token, of an image layer also the ring, may become a neighbor."""

    kind: Literal["all"] = "all"


class RandomCandidates(Config):
    """`r` tokens, drawn anew at every forward pass and shared by the batch (paper 4.2)."""

    kind: Literal["random"]
    r: Annotated[int, Field(ge=1, le=1_000_000, description="Tokens drawn; of an image layer, from the padded map.")]
    when_too_few: WhenTooFew = "error"
    fixed_at_evaluation: Annotated[
        bool, Field(description="Evaluate always with the same draw; as published, evaluation draws anew, too.")
    ] = False


class StridedCandidates(Config):
    """Every `stride`-th token along each axis: the paper's spatial selection (4.2)."""

    kind: Literal["strided"]
    stride: Annotated[int, Field(ge=1, le=1024, description="Step between candidates, in tokens.")]
    when_too_few: WhenTooFew = "error"


class LatticeCandidates(Config):
    """A grid of `side` x `side` tokens spread over the map, as in the published image runs."""

    kind: Literal["lattice"]
    side: Annotated[int, Field(ge=1, le=1024, description="Tokens along each side of the grid.")]
    when_too_few: WhenTooFew = "error"


class EvenCandidates(Config):
    """`r` tokens spread evenly along the sequence, first and last included, as in the published ViT runs."""

    kind: Literal["even"]
    r: Annotated[int, Field(ge=1, le=1_000_000, description="Number of candidates.")]
    when_too_few: WhenTooFew = "error"


Candidates = Annotated[
    AllCandidates | RandomCandidates | StridedCandidates | LatticeCandidates | EvenCandidates,
    Field(discriminator="kind"),
]
SequenceCandidates = Annotated[
    AllCandidates | RandomCandidates | StridedCandidates | EvenCandidates, Field(discriminator="kind")
]

Neighbors = Annotated[int, Field(ge=1, le=1_000_000, description="Neighbors per token.")]
Lambda = Annotated[
    float, Field(alias="lambda", ge=0, le=1, description="Share of the layer's output channels from ConvNN.")
]
Similarity = Annotated[
    Literal["cosine", "dot", "euclidean"],
    Field(description="What makes two tokens alike; dot is scaled by the root of the channels."),
]
RhoChoice = Annotated[
    Literal["constant", "softmax"], Field(description="How neighbors are weighed before aggregation (paper 4.1).")
]
Aggregation = Annotated[
    Literal["standard", "depthwise", "depthwise_separable"],
    Field(description="The Conv1d that turns k neighbors into one output; depthwise starts from unit weights."),
]
SelfFirst = Annotated[bool, Field(description="Each token is its own first neighbor.")]
SelfScore = Annotated[
    float | None,
    Field(description="What softmax sees of the token itself where it is first; null: its own similarity."),
]


class Conv2dLayer(Config):
    """The paper's baseline: a convolution and the 1x1 fuse; the same as a hybrid with lambda 0."""

    kind: Literal["conv2d"]
    kernel_size: KernelSize = 3


class _ConvNNFields(Config):
    k: Neighbors = 9
    similarity: Similarity = "cosine"
    rho: RhoChoice = "constant"
    aggregation: Aggregation = "standard"
    position: Annotated[
        Literal["none", "similarity", "both"],
        Field(description="Whether coordinates join the features that are compared, or also those that are convolved."),
    ] = "none"
    position_scaling: Annotated[
        Literal["none", "std"],
        Field(description="std, as published: features are divided by their deviation before they meet coordinates."),
    ] = "none"
    patch: Annotated[int, Field(ge=1, le=32, description="Pixels along each axis that form one token (paper 13).")] = 1
    projections: Annotated[
        Literal["identity", "linear"], Field(description="linear maps features to query, key and value first.")
    ] = "identity"
    padding: Annotated[
        int,
        Field(ge=0, le=15, description="Width of the ring of zero tokens that joins the candidates; 1 as published."),
    ] = 1
    self_first: SelfFirst = True
    self_score: SelfScore = None
    candidates: Candidates = AllCandidates()


class ConvNNLayer(_ConvNNFields):
    """ConvNN alone; the same as a hybrid with lambda 1."""

    kind: Literal["convnn"]


class HybridLayer(_ConvNNFields):
    """ConvNN and a convolution side by side (paper 4.3)."""

    kind: Literal["hybrid"]
    lam: Lambda
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


class SoftmaxAttention(Config):
    """Every token attends to every token."""

    kind: Literal["attention"]


class _ConvNNAttentionFields(Config):
    k: Neighbors = 9
    similarity: Similarity = "cosine"
    rho: RhoChoice = "softmax"
    aggregation: Aggregation = "depthwise"
    self_first: SelfFirst = False
    self_score: SelfScore = None
    candidates: SequenceCandidates = AllCandidates()


class ConvNNAttention(_ConvNNAttentionFields):
    """ConvNN with query, key and value projections (paper 5.2); the published runs compared by dot product."""

    kind: Literal["convnn"]


class KVTAttention(Config):
    """Softmax over each token's k best keys alone."""

    kind: Literal["kvt"]
    k: Neighbors = 9


class LocalAttention(Config):
    """Softmax over the tokens at most `window` away, with rotary positions."""

    kind: Literal["local"]
    window: Annotated[int, Field(ge=1, le=1_000_000, description="How far a token sees, to each side.")] = 128
    head_dim: Annotated[
        int | None, Field(ge=1, le=65536, description="Channels per head; null: dim / heads. 64 as published.")
    ] = None
    rotary: Annotated[bool, Field(description="Rotary positions, on top of the model's own.")] = True


class SparseAttention(Config):
    """Softmax over a band of `context` tokens around each token."""

    kind: Literal["sparse"]
    context: Annotated[
        int,
        Field(ge=1, le=999_999, json_schema_extra={"not": {"multipleOf": 2}}),
        AfterValidator(_odd),
        Rule("an odd whole number, 1 to 999999 (the token itself, and as many to each side)"),
    ] = 49


class HybridAttention(_ConvNNAttentionFields):
    """Softmax attention and ConvNN attention side by side, joined by a 1x1 convolution."""

    kind: Literal["hybrid"]
    lam: Lambda


Attention = Annotated[
    SoftmaxAttention | ConvNNAttention | KVTAttention | LocalAttention | SparseAttention | HybridAttention,
    Field(discriminator="kind"),
]


class ViTTiny(Config):
    """ViT-Tiny as published: 12 blocks of width 192, one head, images resized to 224, no norm before the classifier."""

    name: Literal["vit_tiny"]
    image_size: Annotated[int, Field(ge=1, le=1024, description="Images are resized to this side.")] = 224
    patch_size: Annotated[int, Field(ge=1, le=1024, description="Side of the square of pixels that is a token.")] = 16
    depth: Annotated[int, Field(ge=1, le=256, description="Blocks.")] = 12
    dim: Annotated[int, Field(ge=1, le=8192, description="Channels of a token.")] = 192
    heads: Annotated[int, Field(ge=1, le=256, description="Heads of the attention; must divide dim.")] = 1
    mlp_width: Annotated[int, Field(ge=1, le=65536, description="Hidden units of each block.")] = 768
    dropout: Annotated[float, Field(ge=0, lt=1, description="After each part of a block.")] = 0.1
    attention_dropout: Annotated[float, Field(ge=0, lt=1, description="Inside the attention.")] = 0.1
    attention: Attention


Model = Annotated[VGG11 | ViTTiny, Field(discriminator="name")]


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
    model: Model
    training: Training = Training()
