"""The result of a confirmation, for people and programs."""

from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from search_spaces.headline import headline
from tune_jobs.driver.limits import Halt
from tune_jobs.evidence.champion import said
from tune_jobs.evidence.confirmation import ArmResult, Plan, Standing
from tune_jobs.record.rows import Champion
from tune_jobs.results.columns import fields, varying
from tune_jobs.tracking.base import Tracked

if TYPE_CHECKING:
    from pandas import DataFrame

METHOD = (
    "Welch's t-test at 4, 8 and 16 runs of each; error spent by Kim and DeMets' function (power 2), shared among the "
    "configurations (Bonferroni); intervals hold for all looks and configurations together"
)


@dataclass(frozen=True, repr=False)
class Confirmed:
    """The status and results of a confirmation."""

    sweep: str
    plan: Plan
    standing: Standing
    opened: str
    """When the test set was first opened for it, in UTC."""

    openings: int
    """Number of confirmations of this sweep, including this one."""

    open_all_along: bool
    """Whether the search itself was evaluated on the test set."""

    failed: int
    """Number of runs that failed and can be retried."""

    trials: tuple[int, ...] = ()
    """The numbers of its runs, for `convnn show` and `convnn logs`."""

    champion: Champion | None = None
    """The champion, once the confirmation is finished."""

    halt: Halt | None = None
    tracked: Tracked | None = None

    @property
    def all_failed(self) -> bool:
        """Whether every one of its runs failed."""
        return 0 < self.failed == len(self.trials)

    @property
    def verdict(self) -> str:
        """The result in one sentence."""
        found, name = self.standing, self.sweep
        if found.baseline.state == "lost":
            return "A run of the baseline diverged or failed, so nothing can be compared with it."
        if not found.over:
            return f"Not decided yet: {len(found.due)} more runs to the next look; to run them: convnn confirm {name}"
        if found.best is None:
            return "No configuration is better than the baseline beyond noise."
        return f"{said(found.best.arm, start=True)} is better than the baseline beyond noise."

    def as_dict(self) -> dict[str, Any]:
        """Return it for programs, as described in `tune_jobs.evidence.printed`; accuracies are fractions."""
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

    def to_frame(self) -> "DataFrame":
        """Return a table with one row per configuration, the baseline first; accuracies are fractions.

        Columns: `trial`, the fields that vary between the configurations (`lambda`), `runs`, `mean`, `sd`, `promised`
        (the value in the search), `too_good_by`, the `difference` to the baseline (above 0 is better) with its interval
        (`low`, `high`), `verdict`.
        """
        from pandas import DataFrame

        plan = self.plan
        columns = varying([arm.config for arm in plan.arms], ())
        table = []
        for result in (self.standing.baseline, *self.standing.candidates):
            values, found = fields(result.arm.config), result.difference
            table.append(
                {
                    "trial": result.arm.trial,
                    **{column.name: values.get(column.key) for column in columns},
                    "runs": len(result.values),
                    "mean": mean_of(result),
                    "sd": sd_of(result),
                    "promised": result.arm.promised,
                    "too_good_by": optimism(result, plan.goal),
                    "difference": found.mean if found else None,
                    "low": found.low if found else None,
                    "high": found.high if found else None,
                    "verdict": verdict_on(result, plan) if result is not self.standing.baseline else "baseline",
                }
            )
        numbers = ("mean", "sd", "promised", "too_good_by", "difference", "low", "high")
        return DataFrame(table).astype(dict.fromkeys(numbers, float))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.sweep!r}, {self.verdict})"


def mean_of(result: ArmResult) -> float | None:
    """Return the mean over its runs."""
    return fmean(result.values) if result.values else None  # noqa: PD011 - an arm's, not a table's


def sd_of(result: ArmResult) -> float | None:
    """Return the sample standard deviation over its runs."""
    return stdev(result.values) if len(result.values) > 1 else None


def optimism(result: ArmResult, goal: str) -> float | None:
    """Return how much better it looked in the search than it is; above 0 is too good."""
    mean, promised = mean_of(result), result.arm.promised
    if mean is None or promised is None:
        return None
    return promised - mean if goal == "maximize" else mean - promised


def verdict_on(result: ArmResult, plan: Plan) -> str:
    """Return the verdict on a configuration against the baseline, as text."""
    found = result.difference
    if result.state == "lost":
        return "a run of it diverged or failed"
    if found is None or found.verdict == "open":
        return "not decided yet"
    if found.verdict == "real":
        return "real: better" if found.mean > 0 else "real: worse"
    if found.verdict == "equal":
        return f"equal within {points(plan.margin, plan.metric)}"
    return f"not resolved: about {found.seeds_more:,} more seeds" if found.seeds_more else "not resolved"


def points(value: float, metric: str) -> str:
    """Format a difference of the objective; differences of accuracies are in percentage points."""
    return f"{100 * value:.2f} points" if metric.endswith("accuracy") else f"{value:.4f}"


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
