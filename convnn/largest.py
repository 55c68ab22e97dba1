"""The k largest numbers of every row, fast on the CPU.

torch looks for them in pairs of a number and its place, one comparison after the other. numpy has vectorised code for
numbers alone: so each number carries its place, in the half of a double that a single one leaves empty.
"""

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convnn.constants import constant

GROUPED_FROM = 192
"""Numbers of a row from which the CPU's search goes by groups; below, looking at all of them is as fast."""

NUMBERS_AT_ONCE = 2**17
"""Of them a thread works on so many, a megabyte."""

LEAST_NUMBERS = 2**14
"""Fewer are not worth a thread."""

SMALLER_THAN_ANY = 2.0**-1000
"""What is lost in a single number that is not 0."""

ROWS_FOR_THREADS = 2048
"""With several threads torch's own search is faster for fewer rows."""


def lowest(dtype: torch.dtype) -> float:
    """What is put where nothing may be chosen: no infinity, which leaves no room for a place."""
    return torch.finfo(dtype).min


def grouping(length: int, k: int, device: torch.device) -> tuple[int, int]:
    """Members of a group, and how long a row of at least `length` is then; 1 where nothing is grouped."""
    if device.type != "cpu" or length < GROUPED_FROM or k * k > length:
        return 1, -(-length // 8) * 8 if device.type == "cuda" else length  # as products are fastest
    size = max(2, round((length / k) ** 0.5))
    return size, -(-length // size) * size


def top_k_of_groups(scores: Tensor, k: int, size: int) -> tuple[Tensor, Tensor]:
    """`torch.topk` along the last axis, largest first; not differentiable, and of equal numbers it may take any.

    Rows come in groups of `size`: member i of group g stands at i * groups + g. The k largest lie in the k groups with
    the largest maxima, so only these are looked at.
    """
    if size == 1:
        return _top_k(scores, k)
    groups = scores.shape[-1] // size
    maxima = scores.unflatten(-1, (size, groups)).amax(-2)
    best = _top_k(maxima, k)[1]  # (..., K)
    index = (best.unsqueeze(-2) + _members(size, groups, scores.device)).flatten(-2)  # (..., size * K)
    values, place = _top_k(scores.gather(-1, index), k)
    return values, index.gather(-1, place)


@constant
def _members(size: int, groups: int, device: torch.device) -> Tensor:
    """How far the members of a group are from its first, `(size, 1)`."""
    return torch.arange(size, device=device).unsqueeze(-1) * groups


def _top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    if torch.compiler.is_compiling() or not k or not _for_numpy(scores):
        values, indices = scores.topk(k, dim=-1)
        return values, indices
    rows = scores.detach().flatten(0, -2).numpy()
    largest, places = np.empty((len(rows), k), np.float32), np.empty((len(rows), k), np.int64)

    def fill(part: slice) -> None:
        largest[part], places[part] = _largest(rows[part], k)

    _in_parts(fill, len(rows), rows.shape[1])
    shape = (*scores.shape[:-1], k)
    return torch.from_numpy(largest).view(shape), torch.from_numpy(places).view(shape)


def _for_numpy(scores: Tensor) -> bool:
    here = scores.device.type == "cpu" and scores.dtype == torch.float32
    return here and (torch.get_num_threads() == 1 or scores.shape[:-1].numel() >= ROWS_FOR_THREADS)


def _largest(rows: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The k largest of each row and their places.

    A single number is exact as a double, whose last 29 bits are then 0; they take the place, which changes no order but
    that of equal numbers. What is not a number, or infinite, has no place for it.
    """
    width = rows.shape[1]
    mask = (1 << (width - 1).bit_length()) - 1
    keys = rows.astype(np.float64)
    keys += SMALLER_THAN_ANY  # so that the place in a zero is part of a number that no processor flushes
    keys.view(np.int64)[...] |= np.arange(
        mask, mask - width, -1, dtype=np.int64
    )  # of equals above 0 the first is largest
    keys.partition(width - k, axis=-1)
    best = np.sort(keys[:, width - k :], axis=-1)[:, ::-1].copy().view(np.int64)
    values = (best & ~mask).view(np.float64).astype(np.float32)
    if not np.isfinite(values).all():
        found = torch.from_numpy(rows).topk(k, dim=-1)
        return found.values.numpy(), found.indices.numpy()
    return values, mask - (best & mask)


def _in_parts(work: Callable[[slice], None], rows: int, width: int) -> None:
    """Do it part by part, with as many threads as torch uses."""
    threads = max(1, min(torch.get_num_threads(), rows * width // LEAST_NUMBERS))
    step = max(1, min(NUMBERS_AT_ONCE // width, -(-rows // threads)))
    parts = [slice(first, first + step) for first in range(0, rows, step)]
    if threads == 1:
        for part in parts:
            work(part)
    else:
        list(_pool(os.getpid(), threads).map(work, parts))


@functools.cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:  # noqa: ARG001 - a forked process has none of its parent's
    return ThreadPoolExecutor(threads, thread_name_prefix="convnn")
