"""Numbers of things in words."""


def plural(count: float, one: str, many: str = "") -> str:
    """`1 point`, `2,000 points` or `0.5 hours`; `many` where it is not `one` with an s."""
    return f"{f'{count:,}' if isinstance(count, int) else f'{count:g}'} {one if count == 1 else many or f'{one}s'}"
