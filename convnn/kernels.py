"""Top-k search on the CPU, as loops that Numba compiles.

ROWS rows are processed together, one in each lane of the processor's vectors. No step depends on the data, so no branch
is mispredicted. Numbers are compared as 32-bit integers in the same order. A number followed by its place is a 64-bit
integer; among equal numbers, an earlier one has the larger integer.
"""

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

ROWS = 64
"""Rows processed together."""

MEMBERS = 4
"""Members per group. The k largest numbers of a row are in the k groups with the largest maxima."""

GROUPED_FROM = 6
"""Rows with at least this number times k entries are searched by groups."""

LEVELS = 17
"""Largest depth of groups of groups: MEMBERS to this power exceeds the length of any row."""

NONE = np.int32(-(2**31))
"""An integer below that of any number except NaN."""

LAST = 2**31 - 1
"""The last place; as bits, all bits of an integer except its sign."""

Single = NDArray[np.float32]
Int = NDArray[np.int32]
Long = NDArray[np.int64]


def largest(  # noqa: PLR0917
    first: int,
    last: int,
    scores: Single,
    left: Single,
    right: Single,
    offset: Single,
    own: Long,
    values: Single,
    places: Long,
) -> None:
    """Find the k largest numbers of rows and their places, largest first. Ties go to the first.

    Args:
        first: First row.
        last: End of the rows, exclusive.
        scores: The rows, `(M, R)`. If empty, the rows are left @ right + offset.
        left: `(B, N, 4)`, M = B N.
        right: `(B, 4, R)`.
        offset: `(B, R)`.
        own: `(N,)`, or empty; entry m modulo N is a place to exclude from row m, none if below 0.
        values: Output, `(M, K)`.
        places: Output, `(M, K)`.
    """
    k, width = places.shape[1], offset.shape[1] if len(left) else scores.shape[1]
    length, start = np.zeros(LEVELS, np.int64), np.zeros(LEVELS + 1, np.int64)
    top = _levels(width, k, length, start)
    keys = np.full((ROWS, start[top + 1]), NONE, np.int32)
    best = np.empty((k, ROWS), np.int64)
    numbers = np.zeros((max(length[top], k * MEMBERS), ROWS), np.int64)
    row = np.empty(width, np.float32)
    for begin in range(first, last, ROWS):
        rows = min(ROWS, last - begin)
        for i in range(rows):
            m, line = begin + i, keys[i]
            if len(left):
                image = m // left.shape[1]
                _products(left[image, m % left.shape[1]], right[image], offset[image], row)
            else:
                _copied(scores[m], row)
            _ordered(row, line)
            if len(own) and own[m % len(own)] >= 0:
                line[own[m % len(own)]] = NONE
            for level in range(top):
                _maxima(line[start[level] :], line[start[level + 1] :], length[level + 1])
            line = line[start[top] :]
            for j in range(length[top]):
                numbers[j, i] = _with_place(line[j], j)
        _keep_largest(numbers[: length[top]], best)
        for level in range(top - 1, -1, -1):
            _members(keys, start[level], rows, best, numbers)
            _keep_largest(numbers[: k * MEMBERS], best)
        for p in range(k):
            for i in range(rows):
                places[begin + i, p] = LAST - (best[p, i] & LAST)
                _put(best[p, i] >> 32, values[begin + i, p : p + 1])


@register_jitable
def _levels(width: int, k: int, length: Long, start: Long) -> int:
    """Compute the length and start of each level in a line: a row, its groups' maxima, and so on."""
    length[0], top = width, 0
    start[1] = -(-width // MEMBERS) * MEMBERS
    while length[top] >= GROUPED_FROM * k:
        length[top + 1] = -(-length[top] // MEMBERS)
        top += 1
        start[top + 1] = start[top] + -(-length[top] // MEMBERS) * MEMBERS
    return top


@register_jitable
def _products(query: Single, candidates: Single, offset: Single, row: Single) -> None:
    a, b, c, d = query[0], query[1], query[2], query[3]
    of_a, of_b, of_c, of_d = candidates[0], candidates[1], candidates[2], candidates[3]
    for j in range(len(row)):
        row[j] = offset[j] + a * of_a[j] + b * of_b[j] + c * of_c[j] + d * of_d[j]


@register_jitable
def _copied(numbers: Single, row: Single) -> None:
    for j in range(len(row)):
        row[j] = numbers[j] + np.float32(0)  # turns -0.0 into 0.0


@register_jitable
def _ordered(row: Single, line: Int) -> None:
    """Convert to integers with the same order."""
    bits = row.view(np.int32)
    for j in range(len(bits)):
        line[j] = bits[j] ^ ((bits[j] >> 31) & LAST)


@register_jitable
def _put(integer: np.int64, number: Single) -> None:
    """Convert an integer back to its number."""
    number.view(np.int32)[0] = integer ^ ((integer >> 31) & LAST)


@register_jitable
def _with_place(integer: np.int32, place: int) -> np.int64:
    return (np.int64(integer) << 32) | (LAST - place)


@register_jitable
def _maxima(members: Int, maxima: Int, groups: int) -> None:
    for g in range(groups):
        a, b, c, d = members[4 * g], members[4 * g + 1], members[4 * g + 2], members[4 * g + 3]
        maxima[g] = max(max(a, b), max(c, d))  # noqa: PLW3301 - in pairs


@register_jitable
def _members(keys: Int, start: int, rows: int, best: Long, numbers: Long) -> None:
    """Collect the members of the best groups, `(K * MEMBERS, ROWS)`."""
    for p in range(len(best)):
        for i in range(rows):
            place = MEMBERS * (LAST - (best[p, i] & LAST))
            line = keys[i][start + place :]
            for z in range(MEMBERS):
                numbers[MEMBERS * p + z, i] = _with_place(line[z], place + z)


@register_jitable
def _keep_largest(numbers: Long, best: Long) -> None:
    """Write the largest of each column of `numbers` `(n, ROWS)` to `best` `(K, ROWS)`, in order; destroys `numbers`."""
    best[:] = np.int64(NONE) << 32
    for j in range(len(numbers)):
        rest = numbers[j]
        for p in range(len(best)):
            kept = best[p]
            for i in range(ROWS):
                a, b = kept[i], rest[i]
                kept[i] = max(a, b)
                rest[i] = min(a, b)
