"""The types of the output of `convnn confirm --json`, and of `convnn show --json` for one of its runs."""

from typing import Literal

from typing_extensions import TypedDict  # pydantic does not accept typing.TypedDict before Python 3.12

from search_spaces.domains import Scalar
from tune_jobs.record.rows import Champion
from tune_jobs.tracking.base import Tracked


class DifferencePrinted(TypedDict):
    """A configuration minus the baseline, at its last look; above 0 is better."""

    runs: int
    mean: float
    low: float | None
    high: float | None
    p: float
    verdict: Literal["real", "equal", "not resolved", "open"]
    seeds_more: int | None


class ArmPrinted(TypedDict):
    """A configuration of a confirmation."""

    trial: int | None
    params: dict[str, Scalar]
    state: Literal["running", "decided", "lost"]
    values: list[float]
    mean: float | None
    sd: float | None
    runs: int
    promised: float | None
    too_good_by: float | None
    difference: DifferencePrinted | None


class BaselinePrinted(ArmPrinted):
    """The baseline, and how it was chosen."""

    why: str


class ConfirmedRun(TypedDict):
    """The place of a run in its confirmation."""

    opened: str
    """When the test set was opened for the confirmation."""

    of: int | None
    """The trial of the search that it runs again; null if its configuration is from a file."""

    baseline: bool
    seed: int
    run: int
    """Its number among the runs of its configuration, from 1."""

    look: int
    """The first look that includes it, from 1."""

    runs: int
    """Number of runs of each configuration at that look."""


class ConfirmedPrinted(TypedDict):
    """A confirmation."""

    sweep: str
    metric: str
    goal: Literal["maximize", "minimize"]
    opened: str
    openings: int
    test_set_open_all_along: bool
    over: bool
    runs_due: int
    failed: int
    trials: list[int]
    """The numbers of its runs, for convnn show."""

    margin: float
    error: float
    looks: list[int]
    method: str
    baseline: BaselinePrinted
    candidates: list[ArmPrinted]
    best: int | None
    verdict: str
    champion: Champion | None
    interrupted: int | None
    tracker: Tracked | None
