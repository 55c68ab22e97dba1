"""The k largest numbers of every row.

On the CPU, a compiled search (`convnn.kernels`) finds them 2 to 4 times as fast as `torch.topk`. It is compiled at the
first call, which takes a few seconds, and cached on disk for the next process.
"""

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

MOST = 32
"""Largest k for the compiled search; above it, `torch.topk` is equally fast."""

CHANNELS = 4
"""Up to this number of channels, the search itself computes the products of tokens without storing them."""

LEAST_NUMBERS = 2**21
"""Least numbers per thread: fewer are done before another thread gets a core, as torch's keep theirs for some ms."""

FEW_THREADS = 4
"""With more threads, `torch.topk` is at least as fast, because it uses all of them for a block of scores."""

PARTS = 4
"""Parts of the work per thread, because not every thread gets a core at the start."""

NOTHING = {
    "scores": np.empty((0, 0), np.float32),
    "left": np.empty((0, 0, 0), np.float32),
    "right": np.empty((0, 0, 0), np.float32),
    "offset": np.empty((0, 0), np.float32),
}
"""Placeholders for unused arguments of the compiled search."""


def largest(scores: Tensor, k: int, own: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Apply `torch.topk` along the last axis. In the compiled search, ties go to the first. Not differentiable.

    Args:
        scores: `(B, N, R)`; may be modified.
        k: At least 1.
        own: A place to exclude from each row, `(N,)`; none if below 0.

    Returns:
        Numbers and places, `(B, N, K)`, largest first.
    """
    if _is_compiled(scores, k) and torch.get_num_threads() <= FEW_THREADS:
        return _found(scores.shape, k, own, scores=scores.flatten(0, 1))
    if own is not None:
        place = own.clamp_min(0).view(1, -1, 1).expand(len(scores), -1, 1)
        scores.scatter_(-1, place, scores.gather(-1, place).where(own.view(1, -1, 1) < 0, -torch.inf))
    values, indices = scores.topk(k, dim=-1)
    return values, indices


def makes_products(left: Tensor, k: int) -> bool:
    """Return whether `largest_products` supports such tokens `(B, N, D)`."""
    return left.shape[-1] <= CHANNELS and _is_compiled(left, k)


def largest_products(
    left: Tensor, right: Tensor, offset: Tensor | None, k: int, own: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Do the same for left @ right^T + offset, without storing the products.

    Args:
        left: `(B, N, D)`, supported by `makes_products`.
        right: `(B, R, D)`.
        offset: `(B, 1, R)`.
        k: As in `largest`.
        own: As in `largest`.
    """
    rest = (0, CHANNELS - left.shape[-1])
    asking, candidates = (torch.nn.functional.pad(tokens, rest) for tokens in (left, right))
    base = right.new_zeros(right.shape[:2]) if offset is None else offset.squeeze(1)
    shape = torch.Size((*left.shape[:2], right.shape[1]))
    return _found(shape, k, own, left=asking, right=candidates.mT, offset=base)


def _is_compiled(numbers: Tensor, k: int) -> bool:
    here = numbers.device.type == "cpu" and numbers.dtype == torch.float32 and k <= MOST
    return here and not torch.compiler.is_compiling() and _search() is not None


def _found(shape: torch.Size, k: int, own: Tensor | None, **given: Tensor) -> tuple[Tensor, Tensor]:
    """Run the compiled search on rows of this shape; `given` holds its arguments that are not empty."""
    batch, queries, width = shape
    values, places = np.empty((batch * queries, k), np.float32), np.empty((batch * queries, k), np.int64)
    rows = {name: rows.detach().contiguous().numpy() for name, rows in given.items()}
    arguments = [rows.get(name, nothing) for name, nothing in NOTHING.items()]
    arguments.append(np.empty(0, np.int64) if own is None else own.contiguous().numpy())
    search = _search()
    assert search is not None
    _in_parts(lambda first, last: search(first, last, *arguments, values, places), batch * queries, width)
    return torch.from_numpy(values).view(batch, queries, k), torch.from_numpy(places).view(batch, queries, k)


def _in_parts(work: Callable[[int, int], None], rows: int, width: int) -> None:
    """Run `work` on as many threads as torch uses, including this one; a free thread takes the next part."""
    threads = max(1, min(torch.get_num_threads(), rows * width // LEAST_NUMBERS))
    step = max(1, -(-rows // (1 if threads == 1 else PARTS * threads)))
    firsts = iter(range(0, rows, step))

    def parts() -> None:
        for first in firsts:
            work(first, min(rows, first + step))

    others = [_pool(os.getpid(), torch.get_num_threads()).submit(parts) for _ in range(threads - 1)]
    parts()
    for other in others:
        other.result()


@functools.cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:  # noqa: ARG001 - threads do not survive a fork
    return ThreadPoolExecutor(threads, thread_name_prefix="convnn")


@functools.cache
def _search() -> Callable[..., None] | None:
    """Return the compiled search; `None` if Numba is not available on this machine."""
    try:
        import numba

        from convnn import kernels
    except (ImportError, OSError):  # OSError if its library cannot be loaded
        return None
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    one = np.zeros((1, 1), np.float32)
    first = 0, 1, *(NOTHING | {"scores": one}).values(), np.empty(0, np.int64), one.copy(), one.astype(np.int64)
    try:
        search: Callable[..., None] = numba.njit(cache=True, **options)(kernels.largest)
        search(*first)
    except Exception:  # noqa: BLE001 - the disk cache is damaged or not writable
        search = numba.njit(**options)(kernels.largest)
        search(*first)
    return search
