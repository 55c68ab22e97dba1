"""Aggregate neighbors into outputs (paper 4.1, step 3): a Conv1d of kernel and stride k, in bounded memory.

All gathered neighbors together are K times the size of the input. Only one block of them is in memory at a time, and
they are gathered again for the gradient.

Shapes: B batch, N query tokens, R tokens with values, C channels, K neighbors, O output channels.
"""

from collections.abc import Iterator
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convnn.constants import constant
from convnn.precision import autocast_dtype

Rho = Literal["constant", "softmax"]
RHOS: tuple[Rho, ...] = get_args(Rho)
Aggregation = Literal["standard", "depthwise", "depthwise_separable"]
AGGREGATIONS: tuple[Aggregation, ...] = get_args(Aggregation)

NUMBERS_AT_ONCE = 2**20
"""Gathered numbers in memory at the same time on the CPU, about the size of its caches."""

ROWS_AT_ONCE = 512
"""Smallest number of queries per block; with fewer, matrix products become slow."""

NUMBERS_AT_ONCE_CUDA = 2**27
"""Gathered numbers in memory at the same time on an accelerator."""


def rank_convolution(in_channels: int, out_channels: int, k: int, *, groups: int = 1, bias: bool = True) -> nn.Conv1d:
    """Build a Conv1d over k ordered neighbors.

    The weight `(O, C, K)` is stored as `(O, K, C)`, a depthwise one as `(K, O)`. Neighbors are gathered as rows of
    channels, so the product with them needs no copy of the weight.
    """
    conv = nn.Conv1d(in_channels, out_channels, kernel_size=k, stride=k, groups=groups, bias=bias)
    order = (0, 2, 1) if groups == 1 else (2, 1, 0)  # each its own inverse
    conv.weight.data = conv.weight.data.permute(order).contiguous().permute(order)
    return conv


def unit_weights(conv: nn.Conv1d) -> nn.Conv1d:
    """Set all weights to 1 and the bias to 0, so that a depthwise convolution sums the neighbors (paper 5.2, 11)."""
    nn.init.ones_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def gather_rows(tokens: Tensor, neighbors: Tensor) -> Tensor:
    """Gather the neighbors' rows, `(B, N, K, C)`, for indices `(B, N, K)` or `(N, K)` into `tokens` `(B, R, C)`."""
    batch, count, channels = tokens.shape
    rows = tokens.reshape(batch * count, channels).index_select(0, _flat(neighbors, batch, count).flatten())
    return rows.view(batch, *neighbors.shape[-2:], channels)


def _flat(neighbors: Tensor, batch: int, count: int) -> Tensor:
    """Turn indices into each image's rows into indices into all rows, `(B * N, K)`."""
    return (neighbors + _firsts(batch, count, neighbors.device)).flatten(0, 1)


@constant
def _firsts(batch: int, count: int, device: torch.device) -> Tensor:
    """Return the index of each image's first row, `(B, 1, 1)`."""
    return torch.arange(batch, device=device).view(-1, 1, 1) * count


def _gathered_blocks(rows: Tensor, flat: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield blocks of queries with their neighbors' rows `(n, K, C)`, in one buffer that the next block overwrites."""
    (queries, k), channels = flat.shape, rows.shape[1]
    limit = NUMBERS_AT_ONCE if rows.device.type == "cpu" else NUMBERS_AT_ONCE_CUDA
    step = queries if rows.device.type == "meta" else min(queries, max(ROWS_AT_ONCE, limit // (k * channels)))
    space = rows.new_empty(step * k, channels)
    for first in range(0, queries, step):
        block = slice(first, min(queries, first + step))
        index = flat[block].flatten()
        yield block, torch.index_select(rows, 0, index, out=space[: len(index)]).view(-1, k, channels)


class _GatherConvolve(torch.autograd.Function):
    """Gather, weight by rho and multiply with a standard Conv1d's weight, block by block."""

    @staticmethod
    def forward(  # noqa: PLR0917
        ctx: Any,  # noqa: ANN401
        value: Tensor,  # (B, R, C)
        rho: Tensor | None,  # (B, N, K)
        weight: Tensor,  # (O, C, K)
        bias: Tensor | None,  # (O,)
        neighbors: Tensor,  # (B, N, K)
    ) -> Tensor:
        flat, rows = _flat(neighbors, *value.shape[:2]), value.reshape(-1, value.shape[-1])
        matrix = weight.permute(0, 2, 1).reshape(weight.shape[0], -1).mT  # (K * C, O)
        output = value.new_empty(flat.shape[0], weight.shape[0])
        for block, x in _gathered_blocks(rows, flat):
            if rho is not None:
                x.mul_(rho.flatten(0, 1)[block].unsqueeze(-1))
            if bias is None:
                torch.mm(x.flatten(1), matrix, out=output[block])
            else:
                torch.addmm(bias, x.flatten(1), matrix, out=output[block])
        ctx.save_for_backward(value, rho, weight, flat)
        return output.view(value.shape[0], -1, weight.shape[0])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        value, rho, weight, flat = ctx.saved_tensors
        (queries, k), channels = flat.shape, value.shape[-1]
        grad, rows = grad.reshape(queries, -1), value.reshape(-1, channels)
        matrix = weight.permute(0, 2, 1).reshape(weight.shape[0], -1)  # (O, K * C)
        of_value = ctx.needs_input_grad[0]  # pixels need no gradient
        grad_rows = torch.zeros_like(rows) if of_value else None
        grad_rho = None if rho is None else torch.empty_like(rho)
        grad_matrix = torch.zeros_like(matrix, dtype=_sum_dtype(matrix))
        space = torch.empty(0, dtype=rows.dtype, device=rows.device)
        for block, x in _gathered_blocks(rows, flat):
            if of_value or rho is not None:
                space = space if space.numel() else x.new_empty(x.shape).flatten(1)
                grad_x = torch.mm(grad[block], matrix, out=space[: len(x)]).view(-1, k, channels)
            if rho is not None and grad_rho is not None:
                grad_rho.flatten(0, 1)[block] = (x * grad_x).sum(-1)
                weights = rho.flatten(0, 1)[block].unsqueeze(-1)
                x.mul_(weights)
                grad_x.mul_(weights)
            if grad_matrix.dtype == x.dtype:
                grad_matrix.addmm_(grad[block].mT, x.flatten(1))
            else:
                grad_matrix += grad[block].mT @ x.flatten(1)
            if grad_rows is not None:
                grad_rows.index_add_(0, flat[block].flatten(), grad_x.flatten(0, 1))
        return (
            None if grad_rows is None else grad_rows.view(value.shape),
            grad_rho,
            grad_matrix.to(weight.dtype).view(-1, k, channels).permute(0, 2, 1),
            grad.sum(0) if ctx.needs_input_grad[3] else None,
            None,
        )


class _GatherScale(torch.autograd.Function):
    """Gather, weight by rho and a depthwise Conv1d's weight, and sum, block by block."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        value: Tensor,  # (B, R, C)
        rho: Tensor | None,  # (B, N, K)
        weight: Tensor,  # (C, 1, K)
        neighbors: Tensor,  # (B, N, K)
    ) -> Tensor:
        flat, rows = _flat(neighbors, *value.shape[:2]), value.reshape(-1, value.shape[-1])
        ranks = weight.squeeze(1).mT.contiguous()  # (K, C)
        output = value.new_empty(flat.shape[0], rows.shape[1])
        for block, x in _gathered_blocks(rows, flat):
            x.mul_(ranks)
            if rho is not None:
                x.mul_(rho.flatten(0, 1)[block].unsqueeze(-1))
            torch.sum(x, dim=1, out=output[block])
        ctx.save_for_backward(value, rho, weight, flat)
        return output.view(value.shape[0], -1, rows.shape[1])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, Tensor, None]:  # noqa: ANN401
        value, rho, weight, flat = ctx.saved_tensors
        grad, rows = grad.reshape(flat.shape[0], -1), value.reshape(-1, value.shape[-1])
        ranks = weight.squeeze(1).mT.contiguous()
        grad_rows, grad_rho = torch.zeros_like(rows), None if rho is None else torch.empty_like(rho)
        grad_ranks = torch.zeros_like(ranks, dtype=_sum_dtype(ranks))
        for block, x in _gathered_blocks(rows, flat):
            itself = grad[block].unsqueeze(1)  # (n, 1, C)
            x.mul_(itself)
            if rho is None or grad_rho is None:
                grad_ranks += x.sum(0)
                grad_x = torch.mul(itself, ranks, out=x)
            else:
                weights = rho.flatten(0, 1)[block]
                sums = sums_by_rank if x.device.type == "cpu" else sums_at_once
                of_ranks, grad_rho.flatten(0, 1)[block] = sums(x, weights, ranks)
                grad_ranks += of_ranks
                grad_x = torch.mul(itself, ranks, out=x).mul_(weights.unsqueeze(-1))
            grad_rows.index_add_(0, flat[block].flatten(), grad_x.flatten(0, 1))
        return grad_rows.view(value.shape), grad_rho, grad_ranks.to(weight.dtype).mT.unsqueeze(1), None


def sums_by_rank(x: Tensor, weights: Tensor, ranks: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sums over queries of x * weights, `(K, C)`, and over channels of x * ranks, `(n, K)`, rank by rank.

    Args:
        x: `(n, K, C)`.
        weights: `(n, K)`.
        ranks: `(K, C)`.
    """
    pairs = [(weights[:, k] @ x[:, k], x[:, k] @ ranks[k]) for k in range(len(ranks))]
    return torch.stack([pair[0] for pair in pairs]), torch.stack([pair[1] for pair in pairs], dim=1)


def sums_at_once(x: Tensor, weights: Tensor, ranks: Tensor) -> tuple[Tensor, Tensor]:
    """Do the same in one product for all ranks: it copies x on the CPU, but saves kernel launches on accelerators."""
    by_rank = x.transpose(0, 1)
    return (weights.mT.unsqueeze(1) @ by_rank).squeeze(1), (by_rank @ ranks.unsqueeze(-1)).squeeze(-1).mT


class _AddOwn(torch.autograd.Function):
    """Compute base + value * weight * rho, with as few passes over memory as the gradient allows."""

    @staticmethod
    def forward(ctx: Any, base: Tensor, value: Tensor, weight: Tensor, rho: Tensor) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(value, weight, rho)
        return torch.addcmul(base, value * weight, rho.unsqueeze(-1))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # noqa: ANN401
        value, weight, rho = ctx.saved_tensors
        product = grad * value
        grad_rho = product @ weight
        grad_weight = product.flatten(0, 1).mT @ rho.flatten()
        return grad, torch.mul(grad, weight, out=product).mul_(rho.unsqueeze(-1)), grad_weight, grad_rho


def add_own(base: Tensor, value: Tensor, weight: Tensor, rho: Tensor | None) -> Tensor:
    """Add each query's own value to `base`, weighted by rho and one rank's weight.

    Args:
        base: `(B, N, O)`.
        value: The queries' own values, `(B, N, C)`.
        weight: The weight of one rank: `(O, C)`, or depthwise `(C, 1)`.
        rho: `(B, N)`; `None` means a weight of 1.

    Returns:
        `(B, N, O)`.
    """
    if weight.shape[1] == value.shape[-1]:
        itself = F.linear(value, weight)
        return base + (itself if rho is None else itself * rho.unsqueeze(-1))
    if rho is None:
        return base + value * weight.squeeze(1)
    half = autocast_dtype(value.device)
    parts = [base, value, weight.squeeze(1), rho]
    output: Tensor = _AddOwn.apply(*(parts if half is None else [part.to(half) for part in parts]))
    return output


def _sum_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype of a sum over blocks."""
    return torch.promote_types(x.dtype, torch.float32)


def gather_aggregate(
    value: Tensor, neighbors: Tensor, rho: Tensor | None, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """Apply a Conv1d over every query's gathered neighbors; differentiable once.

    Args:
        value: `(B, R, C)`.
        neighbors: Indices into R in order of rank, `(B, N, K)`.
        rho: Their weights, `(B, N, K)`; `None` means a weight of 1 for all.
        weight: `(O, C, K)`, or depthwise `(C, 1, K)`.
        bias: `(O,)` or `None`.

    Returns:
        `(B, N, O)`.
    """
    half = autocast_dtype(value.device)
    if half is not None and value.dtype != torch.float64:
        value, weight = value.to(half), weight.to(half)
        rho, bias = (None if x is None else x.to(half) for x in (rho, bias))
    output: Tensor
    if weight.shape[1] != value.shape[-1]:
        output = _GatherScale.apply(value, rho, weight, neighbors)
        return add_bias(output, bias)
    output = _GatherConvolve.apply(value, rho, weight, bias, neighbors)
    return output


def one_hot_aggregate(value: Tensor, neighbors: Tensor, rho: Tensor | None, weight: Tensor) -> Tensor:
    """Do the same as one matrix product, for few candidates: every rank is a one-hot row over them.

    First each candidate is multiplied by each rank's weight, which gives K * R rows. Each query then has K nonzero
    entries among them: rho at (its j-th neighbor, j).

    Args:
        value: `(B, R, C)`.
        neighbors: Indices into R in order of rank, `(B, N, K)`.
        rho: Their weights, `(B, N, K)`; `None` means a weight of 1 for all.
        weight: `(O, C, K)`, or depthwise `(C, 1, K)`.

    Returns:
        `(B, N, O)`.
    """
    batch, count, channels = value.shape
    k = weight.shape[-1]
    if weight.shape[1] == channels:
        ranked = (value @ weight.permute(1, 2, 0).flatten(1)).reshape(batch, count * k, -1)  # (B, R * K, O)
    else:
        ranked = (value.unsqueeze(2) * weight.squeeze(1).mT).reshape(batch, count * k, channels)
    entries = torch.ones_like(neighbors, dtype=value.dtype) if rho is None else rho
    rows = value.new_zeros(*neighbors.shape[:2], count, k).scatter_(2, neighbors.unsqueeze(2), entries.unsqueeze(2))
    product: Tensor = rows.flatten(2) @ ranked
    return product


def one_hot_is_cheaper(queries: int, candidates: int, channels: int, k: int, *, depthwise: bool) -> bool:
    """Return whether `one_hot_aggregate` needs less work than `gather_aggregate`.

    For a standard convolution both are matrix products, with R (C + N) and N C multiplications per rank and output. A
    depthwise convolution mostly moves numbers. For it, a product of up to this many rows was faster on every machine
    that we measured.
    """
    if depthwise:
        return candidates * k <= 2 * queries
    return candidates * (channels + queries) < queries * channels


def add_bias(output: Tensor, bias: Tensor | None) -> Tensor:
    """Add `bias` `(O,)`, if given, to `output` `(B, N, O)`."""
    return output if bias is None else output + bias.to(output.dtype)


def pointwise(output: Tensor, conv: nn.Conv1d) -> Tensor:
    """Apply a Conv1d with kernel size 1 to tokens `(B, N, C)`."""
    return F.linear(output, conv.weight.squeeze(-1), conv.bias)
