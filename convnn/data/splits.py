"""Training and validation splits: stratified, and the same on every machine for the same seed."""

import numpy as np
from numpy.typing import NDArray

from convnn.data.errors import DataError

Indices = NDArray[np.int64]


def limited(labels: NDArray[np.int64], limit: int | None) -> Indices:
    """Return the first images of every class, about `limit` in total with classes in proportion, in file order.

    Raises:
        DataError: If `limit` leaves a class without two images.
    """
    if limit is None or limit >= len(labels):
        return np.arange(len(labels))
    parts = []
    for members in _by_class(labels):
        share = max(1, round(limit * len(members) / len(labels)))
        parts.append(members[:share])
    if any(len(part) < min(2, len(members)) for part, members in zip(parts, _by_class(labels), strict=True)):
        raise DataError(
            f"data.limit must leave every class two images, got {limit} for {len(parts)} classes; "
            f"use at least {2 * len(parts) + 1}."
        )
    return np.sort(np.concatenate(parts))


def stratified_split(labels: NDArray[np.int64], fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Hold out `fraction` of every class, drawn with `seed`.

    Returns:
        Indices of the training images and of the held-out images; together they contain every image once.

    Raises:
        DataError: If a class has too few images for both.
    """
    held = []
    for label, members in enumerate(_by_class(labels)):
        count = max(1, round(len(members) * fraction))
        if count >= len(members):
            raise DataError(
                f"evaluation.fraction={fraction} leaves class {label} ({len(members)} images) without training images; "
                f"use a smaller fraction or more images."
            )
        draw = np.random.Generator(np.random.PCG64([seed, label]))
        held.append(members[draw.permutation(len(members))[:count]])
    mask = np.zeros(len(labels), dtype=bool)
    mask[np.concatenate(held)] = True
    everything = np.arange(len(labels))
    return everything[~mask], everything[mask]


def _by_class(labels: NDArray[np.int64]) -> list[Indices]:
    return [np.flatnonzero(labels == label) for label in np.unique(labels)]
