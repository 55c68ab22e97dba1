"""What a confirmation has shown, for people and programs."""

from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

from search_spaces.headline import headline
from tune_jobs.driver.limits import Halt
from tune_jobs.evidence.champion import said
from tune_jobs.evidence.confirmation import ArmResult, Plan, Standing
from tune_jobs.record.rows import Champion
from tune_jobs.tracking.base import Tracked

METHOD = (
    "Welch's t-test at 4, 8 and 16 runs of each; error spent by Kim and DeMets' function (power 2), shared among the "
    "configurations (Bonferroni); intervals hold for all looks and configurations together"
)


@dataclass(frozen=True)
class Confirmed:
    """How a confirmation stands."""

    sweep: str
    plan: Plan
    standing: Standing
    opened: str
    """When the test set was first opened for it, in UTC."""

    openings: int
    """How many confirmations of this sweep there are, this one included."""

    open_all_along: bool
    """Whether the search itself was judged on the test set."""

    failed: int
    """Runs that failed, and can be tried again."""

    trials: tuple[int, ...] = ()
    """The numbers of its runs, by which `convnn show` and `convnn logs` know them."""

    champion: Champion | None = None
    """What it supports, once it is finished."""

    halt: Halt | None = None
    tracked: Tracked | None = None

    @property
    def verdict(self) -> str:
        """The whole in a sentence."""
        found, name = self.standing, self.sweep
        if found.baseline.state == "lost":
            return "The baseline has a run that diverged or failed, so that nothing can be compared with it."
        if not found.over:
            return f"Not decided yet: {len(found.due)} more runs to the next look; convnn confirm {name}"
        if found.best is None:
            return "No configuration is better than the baseline beyond noise."
        return f"{said(found.best.arm, start=True)} is better than the baseline beyond noise."

    def as_dict(self) -> dict[str, Any]:
        """For programs, as `tune_jobs.evidence.printed` says; accuracies are fractions."""
        plan, found = self.plan, self.standing
        return {
            "sweep": self.sweep,
            "metric": plan.metric,
            "goal": plan.goal,
            "opened": self.opened,
            "openings": self.openings,
            "test_set_open_all_along": self.open_all_along,
            "over": found.over,
            "runs_due": len(found.due),
            "failed": self.failed,
            "trials": list(self.trials),
            "margin": plan.margin,
            "error": plan.error,
            "looks": list(plan.looks),
            "method": METHOD,
            "baseline": {**_arm(found.baseline, plan), "why": plan.why_baseline},
            "candidates": [_arm(each, plan) for each in found.candidates],
            "best": None if found.best is None else found.best.arm.trial,
            "verdict": self.verdict,
            "champion": None if self.champion is None else asdict(self.champion),
            "interrupted": self.halt.signal if self.halt else None,
            "tracker": asdict(self.tracked) if self.tracked else None,
        }


def mean_of(result: ArmResult) -> float | None:
    """Over its runs."""
    return fmean(result.values) if result.values else None


def sd_of(result: ArmResult) -> float | None:
    """Over its runs, of a sample."""
    return stdev(result.values) if len(result.values) > 1 else None


def optimism(result: ArmResult, goal: str) -> float | None:
    """How much better the search had made it look than it is; above 0 is too good."""
    mean, promised = mean_of(result), result.arm.promised
    if mean is None or promised is None:
        return None
    return promised - mean if goal == "maximize" else mean - promised


def _arm(result: ArmResult, plan: Plan) -> dict[str, Any]:
    return {
        "trial": result.arm.trial,
        "params": headline(result.arm.config),
        "state": result.state,
        "values": list(result.values),
        "mean": mean_of(result),
        "sd": sd_of(result),
        "runs": len(result.values),
        "promised": result.arm.promised,
        "too_good_by": optimism(result, plan.goal),
        "difference": None if result.difference is None else asdict(result.difference),
    }
