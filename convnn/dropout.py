"""Dropout with fast random draws on the CPU.

On the CPU, torch draws a mask element by element with its Bernoulli generator, which took a third of a ViT-Tiny step.
Here the same generator fills 64-bit words, and each 16 bits of a word decide about one element.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

_LEVELS = 2**16
_WORD = torch.iinfo(torch.int64)


def kept(rate: float, shapes: Sequence[Sequence[int]], device: torch.device) -> list[Tensor]:
    """Draw the elements to keep in tensors of these shapes, as booleans, from the device's generator.

    Each element is dropped with probability `rate`, rounded to a multiple of 1 / 65536.
    """
    sizes = [math.prod(shape) for shape in shapes]
    words = torch.randint(_WORD.min, _WORD.max, (-(-sum(sizes) // 4),), device=device)
    stay = words.view(torch.int16) >= _dropped(rate) - _LEVELS // 2
    parts = stay[: sum(sizes)].split(sizes)
    return [part.view(*shape) for part, shape in zip(parts, shapes, strict=True)]


def _dropped(rate: float) -> int:
    """Return the number of _LEVELS at which an element is dropped."""
    return min(_LEVELS - 1, round(rate * _LEVELS))


def _scale(rate: float) -> float:
    """Return the factor on kept elements that preserves the expectation."""
    return _LEVELS / (_LEVELS - _dropped(rate))


def _product(x: Tensor, stay: Tensor, scale: float) -> Tensor:
    product: Tensor = torch.ops.aten.native_dropout_backward(x, stay, scale)
    return product


class _Dropout(torch.autograd.Function):
    """Compute x * stay * scale, optionally plus `base`, in one forward and one backward pass over memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, base: Tensor | None, stay: Tensor, scale: float) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(stay)
        ctx.scale = scale
        return _product(x, stay, scale) if base is None else torch.addcmul(base, x, stay, value=scale)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None, None]:  # noqa: ANN401
        (stay,) = ctx.saved_tensors
        return _product(grad, stay, ctx.scale), grad if ctx.needs_input_grad[1] else None, None, None


def draws_words(x: Tensor) -> bool:
    """Return whether to use `kept` for such tensors: on the CPU, outside compiled graphs."""
    return x.device.type in {"cpu", "meta"} and not torch.compiler.is_compiling()


def dropout(x: Tensor, rate: float, *, training: bool, stay: Tensor | None = None) -> Tensor:
    """Apply dropout, as in `torch.nn.functional.dropout`.

    Args:
        x: A tensor of any shape.
        rate: Probability that an element is dropped.
        training: Whether to drop at all.
        stay: The elements to keep, drawn by `kept`; `None` draws here.
    """
    if not training or rate == 0:
        return x
    if not draws_words(x):
        return F.dropout(x, rate)
    output: Tensor = _Dropout.apply(x, None, kept(rate, [x.shape], x.device)[0] if stay is None else stay, _scale(rate))
    return output


def add_dropped(base: Tensor, x: Tensor, rate: float, *, training: bool, stay: Tensor | None = None) -> Tensor:
    """Return `base` plus `x` after dropout; see `dropout`."""
    if not training or rate == 0 or not draws_words(x):
        return base + F.dropout(x, rate, training)
    stay = kept(rate, [x.shape], x.device)[0] if stay is None else stay
    output: Tensor = _Dropout.apply(x.to(base.dtype), base, stay, _scale(rate))
    return output
