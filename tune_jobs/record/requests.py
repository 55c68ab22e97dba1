"""Requests of users about single trials. The ledger has a row for each request, and never removes one."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Asked = Literal["stop", "retry", "exclude", "include"]


@dataclass(frozen=True)
class Request:
    """One request; `seq` is its position among all events."""

    seq: int
    run_key: str
    asked: Asked
    at: float
    why: str | None


def excluded(requests: Iterable[Request]) -> dict[str, Request]:
    """Return the excluded trials, by run key, with the request to exclude each one."""
    found: dict[str, Request] = {}
    for request in requests:
        if request.asked == "exclude":
            found[request.run_key] = request
        elif request.asked == "include":
            found.pop(request.run_key, None)
    return found


def to_stop(requests: Iterable[Request]) -> dict[str, int]:
    """Return the `seq` of the request to stop a trial, by run key, unless the trial was retried since."""
    found: dict[str, int] = {}
    for request in requests:
        if request.asked == "stop":
            found.setdefault(request.run_key, request.seq)
        elif request.asked == "retry":
            found.pop(request.run_key, None)
    return found
