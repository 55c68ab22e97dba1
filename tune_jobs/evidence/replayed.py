"""The types of the output of `convnn replay --json`."""

from typing_extensions import TypedDict  # pydantic does not accept typing.TypedDict before Python 3.12

from tune_jobs.evidence.compared import Pair, Verdict
from tune_jobs.evidence.expected import Difference

Numbers = dict[str, float | None]


class ReplayedEpoch(TypedDict):
    """An epoch as recorded and as replayed; null if the replay has no such value."""

    epoch: int
    verdict: Verdict
    recorded: Numbers
    replayed: Numbers


class Replayed(TypedDict):
    """The comparison of a recorded trial with its replay."""

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
