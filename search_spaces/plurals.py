"""Counts with the right singular or plural."""


def plural(count: float, one: str, many: str = "") -> str:
    """Return `1 point`, `2,000 points` or `0.5 hours`; pass `many` if the plural is not `one` plus s."""
    return f"{f'{count:,}' if isinstance(count, int) else f'{count:g}'} {one if count == 1 else many or f'{one}s'}"
