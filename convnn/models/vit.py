"""ViT-Tiny as in the published runs, with every kind of attention that the paper compares.

Shapes: B batch, S side of the images, N tokens (class token first), D channels.
"""

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convnn.attention import ConvNNAttention, KVTAttention, LocalAttention, SelfAttention, SparseAttention
from convnn.checks import require_count, require_one_of, require_rate
from convnn.dropout import add_dropped, draws_words, dropout, kept
from convnn.geometry import VIT_IMAGE_SIZE, VIT_PATCH_SIZE, vit_tokens
from convnn.layers import HybridBranch1d

AttentionKind = Literal["attention", "convnn", "kvt", "local", "sparse", "hybrid"]
ATTENTION_KINDS: tuple[AttentionKind, ...] = get_args(AttentionKind)

IMAGE_AXES = 4


class HybridAttention(nn.Module):
    """Hybrid branches on a sequence `(B, N, D)`: by default, attention and ConvNN attention.

    Args:
        dim: D.
        heads: Heads of both branches.
        lam: lambda, ConvNN's share of the D output channels.
        dropout: Dropout rate of both branches.
        **options: Options of HybridBranch1d and of its ConvNN attention.
    """

    def __init__(
        self,
        dim: int,
        heads: int = 1,
        *,
        lam: float = 0.5,
        dropout: float = 0.0,
        **options: Any,  # noqa: ANN401 - HybridBranch1d checks them
    ) -> None:
        super().__init__()
        options = {"branches": "attention+convnn_attention"} | options
        self.branch = HybridBranch1d(dim, dim, lam, heads=heads, dropout=dropout, **options)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, N, D)` to `(B, N, D)`."""
        mixed: Tensor = self.branch(x.mT)
        return mixed.mT


_LAYERS: dict[AttentionKind, type[nn.Module]] = {
    "attention": SelfAttention,
    "convnn": ConvNNAttention,
    "kvt": KVTAttention,
    "local": LocalAttention,
    "sparse": SparseAttention,
    "hybrid": HybridAttention,
}


class Block(nn.Module):
    """Attention and a two-layer MLP, each after a layer norm and with a residual connection (paper 6).

    Args:
        attention: Maps `(B, N, D)` to `(B, N, D)`.
        dim: D.
        mlp_width: Hidden channels of the MLP.
        dropout: Dropout rate after each part and inside the MLP, during training.
    """

    def __init__(self, attention: nn.Module, dim: int, mlp_width: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = attention
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, mlp_width), nn.GELU(), nn.Dropout(dropout), nn.Linear(mlp_width, dim))
        self.mlp_width, self.dropout = mlp_width, dropout

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, N, D)` to `(B, N, D)`."""
        narrow, activation, _, wide = self.mlp  # its dropout mask is drawn together with the others
        rate, training = self.dropout, self.training
        first = inner = second = None
        if training and rate and draws_words(x):
            first, inner, second = kept(rate, [x.shape, (*x.shape[:-1], self.mlp_width), x.shape], x.device)
        x = add_dropped(x, self.attention(self.norm1(x)), rate, training=training, stay=first)
        hidden = dropout(activation(narrow(self.norm2(x))), rate, training=training, stay=inner)
        return add_dropped(x, wide(hidden), rate, training=training, stay=second)


class ViT(nn.Module):
    """A vision transformer; images `(B, 3, S, S)` of any S in, logits `(B, classes)` out.

    As published: layer norm after the patches, a learned class token at the first position, fixed sinusoidal positions,
    no norm before the classifier.

    Args:
        blocks: The layers, from `(B, N, D)` to `(B, N, D)`.
        num_classes: Number of classes.
        image_size: Images are resized to this side.
        patch_size: Side of the square patch of one token.
        dim: D.
    """

    positions: Tensor

    def __init__(self, blocks: nn.Module, num_classes: int, *, image_size: int, patch_size: int, dim: int) -> None:
        super().__init__()
        tokens = vit_tokens(image_size, patch_size)
        self.image_size = image_size
        self.patches = nn.Conv2d(3, dim, kernel_size=patch_size, stride=patch_size)
        self.norm = nn.LayerNorm(dim)
        self.class_token = nn.Parameter(torch.randn(1, 1, dim))
        self.register_buffer("positions", sinusoids(tokens, dim), persistent=False)
        self.blocks = blocks
        self.classifier = nn.Linear(dim, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits `(B, classes)`."""
        if images.dim() != IMAGE_AXES or images.shape[1] != 3:  # noqa: PLR2004 - red, green, blue
            raise ValueError(
                f"the images must be (B, 3, S, S), got shape {tuple(images.shape)}; repeat a gray channel three times."
            )
        images = resize(images, self.image_size)
        tokens = self.norm(self.patches(images).flatten(2).mT)
        tokens = torch.cat([self.class_token.expand(len(tokens), -1, -1).to(tokens.dtype), tokens], dim=1)
        logits: Tensor = self.classifier(self.blocks(tokens + self.positions)[:, 0])
        return logits


def sinusoids(tokens: int, dim: int, base: float = 10_000.0) -> Tensor:
    """Return fixed position encodings `(1, N, D)`: sine in the even channels, cosine in the odd ones."""
    exact: dict[str, Any] = {"dtype": torch.float64, "device": "cpu"}  # the meta device would load torch's compiler
    speed = base ** (-torch.arange(0, dim, 2, **exact) / dim)
    angle = torch.arange(tokens, **exact).unsqueeze(-1) * speed  # (N, D / 2)
    found = torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :dim].unsqueeze(0)
    return found.to(torch.get_default_device(), torch.get_default_dtype())


def resize(images: Tensor, size: int) -> Tensor:
    """Resize images to `size` x `size`, bilinear, as Pillow does except for its rounding to integers.

    Source: paper 10. Resizing normalized images gives the same result as normalizing resized images.
    """
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, size=(size, size), mode="bilinear", align_corners=False, antialias=True)


def vit(
    num_classes: int,
    attention: AttentionKind | Callable[..., nn.Module] = "attention",
    *,
    image_size: int,
    patch_size: int,
    depth: int,
    width: int,
    heads: int,
    mlp_width: int,
    dropout: float,
    attention_dropout: float,
    **options: Any,  # noqa: ANN401 - the attention layer checks them
) -> ViT:
    """Build a vision transformer.

    Args:
        num_classes: Number of classes.
        attention: `attention`, `convnn`, `kvt`, `local`, `sparse` or `hybrid`; or a callable that builds a layer from
            `(B, N, D)` to `(B, N, D)`, called with D, heads, `dropout` and the options.
        image_size: Images are resized to this side.
        patch_size: Side of the square patch of one token; must divide `image_size`.
        depth: Number of blocks.
        width: D.
        heads: Heads of every attention layer.
        mlp_width: Hidden channels of the MLP in each block.
        dropout: Dropout rate in and after the MLP, and after attention.
        attention_dropout: Dropout rate inside attention: on its weights, or on ConvNN's convolved neighbors.
        **options: Options of the attention layer: ConvNNAttention (`convnn`), KVTAttention, LocalAttention,
            SparseAttention, or HybridAttention and ConvNNAttention together (`hybrid`).

    Raises:
        ValueError: If an option is out of range.
        TypeError: If the kind of attention does not have an option.
    """
    if isinstance(attention, str):
        require_one_of("attention", attention, ATTENTION_KINDS)
    require_rate("dropout", dropout)
    for name, value in (("num_classes", num_classes), ("depth", depth), ("width", width), ("mlp_width", mlp_width)):
        require_count(name, value)
    layer: Callable[..., nn.Module] = _LAYERS[attention] if isinstance(attention, str) else attention
    blocks = [
        Block(layer(width, heads, dropout=attention_dropout, **options), width, mlp_width, dropout)
        for _ in range(depth)
    ]
    return ViT(nn.Sequential(*blocks), num_classes, image_size=image_size, patch_size=patch_size, dim=width)


def vit_tiny(
    num_classes: int,
    attention: AttentionKind | Callable[..., nn.Module] = "attention",
    *,
    image_size: int = VIT_IMAGE_SIZE,
    patch_size: int = VIT_PATCH_SIZE,
    depth: int = 12,
    width: int = 192,
    heads: int = 1,
    mlp_width: int = 768,
    dropout: float = 0.1,
    attention_dropout: float = 0.1,
    **options: Any,  # noqa: ANN401 - the attention layer checks them
) -> ViT:
    """Build ViT-Tiny (paper 6, 11): 12 layers of width 192, one head, 197 tokens; see `vit` for the options.

    Other options of the published runs: `kvt` k=9 or 100; `local` window=128, head_dim=64; `sparse` context=49;
    `convnn` k=9, similarity='dot', and with candidates='random' or 'even', r=32: self_first=True, self_score=1.0.
    """
    return vit(
        num_classes,
        attention,
        image_size=image_size,
        patch_size=patch_size,
        depth=depth,
        width=width,
        heads=heads,
        mlp_width=mlp_width,
        dropout=dropout,
        attention_dropout=attention_dropout,
        **options,
    )
