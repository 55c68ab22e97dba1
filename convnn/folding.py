"""VGG's first fully connected layer, trained as what it is: a layer of as many inputs as the map has channels.

The map before it is 1 x 1 (an image's 32 pixels, halved five times), and an average pool shows it to the layer 7 x 7
times. So the 49 slices of its weight, one per copy, get the same gradient at every step. Under AdamW, whose decay does
not enter the moments, slice p is therefore W_p(t) = d(t) W_p(0) + s(t) with one s for all, and their sum F, which is
all that the output depends on, is trained by itself: with the same moments, with 49 times the learning rate (s moves 49
times in the sum), a 49th of the decay rate (the sum decays as each slice does), and a gradient that counts 49 times in
the norm of all. docs/adr/0011.
"""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convnn.models.vgg import VGG


class FoldError(Exception):
    """The published weights cannot be told from what was trained."""


@dataclass
class Fold:
    """What leads back to the published layer: which weights it began with, and what decay has left of them."""

    copies: int
    initial: str
    """SHA-256 of the published layer's first weights, which the seed draws."""

    kept: float = 1.0
    """d(t): the product of 1 - learning rate x weight decay over all steps."""


def fold(model: nn.Module) -> Fold | None:
    """Replace the layer in `model` by one of as many inputs as there are channels; `None` if it has no such layer.

    The model then takes images of 32 x 32 pixels alone.
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
    """The weight of a folded layer."""
    assert isinstance(model, VGG)
    return _first(model).weight


def whole_again(model: nn.Module, fold: Fold) -> None:
    """Undo `fold`, with weights that nobody has written."""
    assert isinstance(model, VGG)
    folded = _first(model)
    weight = torch.empty(folded.out_features, folded.in_features * fold.copies, device=folded.weight.device)
    whole = nn.Linear(folded.in_features * fold.copies, folded.out_features, device="meta")
    whole.weight, whole.bias = nn.Parameter(weight), folded.bias
    model.classifier[0], model.pool = whole, VGG.pooling()


def unfold(weights: dict[str, Tensor], fold: Fold, initial: nn.Module) -> dict[str, Tensor]:
    """The weights of the published model, by name, from those of a folded one.

    Args:
        weights: Those.
        fold: What is known of the layer.
        initial: The published model as its seed drew it.

    Raises:
        FoldError: If that is not what was trained.
    """
    assert isinstance(initial, VGG)
    first = _first(initial).weight.detach()
    if digest_of(first) != fold.initial:
        raise FoldError(
            "the first weights of this model cannot be drawn again: its seed gives others here than where it was "
            "trained (another version of torch?), and the published layer cannot be told without them."
        )
    start = first.double().unflatten(1, (-1, fold.copies))
    trained = weights[_NAME].double()
    moved = (trained - fold.kept * start.sum(-1)) / fold.copies  # s(t)
    whole = (fold.kept * start + moved.unsqueeze(-1)).flatten(1)
    return {**weights, _NAME: whole.to(weights[_NAME].dtype)}


_NAME = "classifier.0.weight"
_ROWS_AT_ONCE = 64


def digest_of(weight: Tensor) -> str:
    """The SHA-256 of a tensor's numbers."""
    return hashlib.sha256(weight.detach().cpu().contiguous().numpy().data).hexdigest()


def _first(model: VGG) -> nn.Linear:
    first = model.classifier[0]
    assert isinstance(first, nn.Linear)
    return first


def _sum(weight: Tensor, copies: int) -> Tensor:
    """Some rows at a time: all of them in double precision would take twice the layer's memory."""
    some = weight.unflatten(1, (-1, copies)).split(_ROWS_AT_ONCE)
    return torch.cat([rows.sum(-1, dtype=torch.float64).to(weight.dtype) for rows in some])
