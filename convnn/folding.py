"""Train VGG's first fully connected layer in folded form: with one input per channel of the map.

The map before the layer is 1 x 1 (an image's 32 pixels, halved five times), and an average pool repeats it 7 x 7 times.
So the 49 slices of the layer's weight, one per copy, get the same gradient at every step. With AdamW, weight decay does
not enter the moments. Slice p is therefore W_p(t) = d(t) W_p(0) + s(t), with the same s for all slices. The output
depends only on the sum F of the slices, so F is trained directly. It has the same moments, 49 times the learning rate
(s enters the sum 49 times) and a 49th of the decay rate (the sum decays as each slice does). Its gradient counts 49
times in the norm of all gradients. See docs/adr/0011.
"""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convnn.models.vgg import VGG


class FoldError(Exception):
    """The published weights cannot be recovered from the trained ones."""


@dataclass
class Fold:
    """The information that recovers the published layer: its initial weights, and how much of them decay has left."""

    copies: int
    initial: str
    """SHA-256 of the published layer's initial weights, which the seed determines."""

    kept: float = 1.0
    """d(t): the product of (1 - learning rate x weight decay) over all steps."""


def fold(model: nn.Module) -> Fold | None:
    """Replace the layer in `model` by one with one input per channel; return `None` if it has no such layer.

    The model then takes only images of 32 x 32 pixels.
    """
    if not isinstance(model, VGG):
        return None
    plain, copies = _first(model), model.pooled_side**2
    folded = nn.Linear(plain.in_features // copies, plain.out_features, bias=plain.bias is not None, device="meta")
    folded.weight = nn.Parameter(_sum(plain.weight.detach(), copies))
    folded.bias = plain.bias
    model.classifier[0], model.pool = folded, nn.Identity()
    return Fold(copies, digest_of(plain.weight))


def folded_weight(model: nn.Module) -> Tensor:
    """Return the weight of a folded layer."""
    assert isinstance(model, VGG)
    return _first(model).weight


def whole_again(model: nn.Module, fold: Fold) -> None:
    """Undo `fold`, with uninitialized weights."""
    assert isinstance(model, VGG)
    folded = _first(model)
    weight = torch.empty(folded.out_features, folded.in_features * fold.copies, device=folded.weight.device)
    whole = nn.Linear(folded.in_features * fold.copies, folded.out_features, device="meta")
    whole.weight, whole.bias = nn.Parameter(weight), folded.bias
    model.classifier[0], model.pool = whole, VGG.pooling()


def unfold(weights: dict[str, Tensor], fold: Fold, initial: nn.Module) -> dict[str, Tensor]:
    """Return the weights of the published model, by name, from those of a folded model.

    Args:
        weights: Weights of the folded model.
        fold: The fold of its layer.
        initial: The published model with its initial weights.

    Raises:
        FoldError: If `initial` does not have the initial weights of the training.
    """
    assert isinstance(initial, VGG)
    first = _first(initial).weight.detach()
    if digest_of(first) != fold.initial:
        raise FoldError(
            "the initial weights of this model cannot be drawn again: its seed gives other weights here than where it "
            "was trained (another version of torch?), and the published layer cannot be recovered without them."
        )
    start = first.double().unflatten(1, (-1, fold.copies))
    trained = weights[_NAME].double()
    moved = (trained - fold.kept * start.sum(-1)) / fold.copies  # s(t)
    whole = (fold.kept * start + moved.unsqueeze(-1)).flatten(1)
    return {**weights, _NAME: whole.to(weights[_NAME].dtype)}


_NAME = "classifier.0.weight"
_ROWS_AT_ONCE = 64


def digest_of(weight: Tensor) -> str:
    """Return the SHA-256 of a tensor's numbers."""
    return hashlib.sha256(weight.detach().cpu().contiguous().numpy().data).hexdigest()


def _first(model: VGG) -> nn.Linear:
    first = model.classifier[0]
    assert isinstance(first, nn.Linear)
    return first


def _sum(weight: Tensor, copies: int) -> Tensor:
    """Sum the copies, some rows at a time: all rows in double precision would take twice the layer's memory."""
    some = weight.unflatten(1, (-1, copies)).split(_ROWS_AT_ONCE)
    return torch.cat([rows.sum(-1, dtype=torch.float64).to(weight.dtype) for rows in some])
