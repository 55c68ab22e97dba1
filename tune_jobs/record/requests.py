"""What people asked of single trials by hand, as the record keeps it: a row for each request, none is ever removed."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Asked = Literal["stop", "retry", "exclude", "include"]


@dataclass(frozen=True)
class Request:
    """One request; `seq` is its place among all events."""

    seq: int
    run_key: str
    asked: Asked
    at: float
    why: str | None


def excluded(requests: Iterable[Request]) -> dict[str, Request]:
    """By run key: the request that a trial be excluded, where none has undone it since."""
    found: dict[str, Request] = {}
    for request in requests:
        if request.asked == "exclude":
            found[request.run_key] = request
        elif request.asked == "include":
            found.pop(request.run_key, None)
    return found


def to_stop(requests: Iterable[Request]) -> dict[str, int]:
    """By run key: the `seq` of the request that a trial be stopped, where it was not run again by hand since."""
    found: dict[str, int] = {}
    for request in requests:
        if request.asked == "stop":
            found.setdefault(request.run_key, request.seq)
        elif request.asked == "retry":
            found.pop(request.run_key, None)
    return found
