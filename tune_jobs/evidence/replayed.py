"""What `convnn replay` prints with --json, as types."""

from typing_extensions import TypedDict  # typing's own is not enough for pydantic before Python 3.12

from tune_jobs.evidence.compared import Pair, Verdict
from tune_jobs.evidence.expected import Difference

Numbers = dict[str, float | None]


class ReplayedEpoch(TypedDict):
    """An epoch as it was recorded, and as it was replayed; null where the replay has no such number."""

    epoch: int
    verdict: Verdict
    recorded: Numbers
    replayed: Numbers


class Replayed(TypedDict):
    """A recorded trial beside its replay."""

    sweep: str
    trial: int
    run_key: str
    state: str
    checkpoint: str | None
    verdict: Verdict
    expected_equal: bool
    tolerance: float
    threads: int
    first_unequal: Pair | None
    first_different: Pair | None
    ended: str | None
    differences: list[Difference]
    assumed: list[str]
    notes: list[str]
    epochs: list[ReplayedEpoch]
