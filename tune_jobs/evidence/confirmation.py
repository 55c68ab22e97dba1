"""A confirmation: the best configurations of a search run again with new seeds, against a baseline, look by look.

Pure: the pending runs and the results depend only on the plan and the ended runs. So an interrupted confirmation
resumes from its ledger alone.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np

from search_spaces import TrialConfig, canonical, run_key
from tune_jobs.evidence.verdicts import ERROR, LOOKS, Design, Difference, judge


@dataclass(frozen=True)
class Arm:
    """One configuration of a confirmation."""

    config: TrialConfig
    trial: int | None
    """Its number in the search; `None` if it is from a file."""

    promised: float | None = None
    """The value in the search by which it was chosen."""


@cache
def _run(arm: Arm, seed: int) -> tuple[str, TrialConfig]:
    """Return the run of an arm with a seed: its run key and configuration."""
    training = arm.config.training.model_copy(update={"seed": seed})
    config = canonical(arm.config.model_copy(update={"training": training}))
    return run_key(config), config


@dataclass(frozen=True)
class Plan:
    """The plan of a confirmation. It is fixed and recorded before the first run, so that no result can influence it."""

    candidates: tuple[Arm, ...]
    baseline: Arm
    why_baseline: str
    first_seed: int
    """Above every seed of the search; all arms have the same seeds."""

    margin: float
    """Differences below this do not matter, in the objective's unit."""

    metric: str
    goal: Literal["maximize", "minimize"]
    looks: tuple[int, ...] = LOOKS
    error: float = ERROR

    @property
    def design(self) -> Design:
        """The statistical design."""
        return Design(len(self.candidates), self.margin, self.error, self.looks)

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The baseline, then the candidates."""
        return (self.baseline, *self.candidates)

    def runs(self, arm: Arm, count: int) -> Iterator[tuple[str, TrialConfig]]:
        """Yield the first runs of an arm, with their run keys."""
        yield from (_run(arm, seed) for seed in range(self.first_seed, self.first_seed + count))

    def as_dict(self) -> dict[str, Any]:
        """Return it for the ledger; `plan_from` reads it."""
        return {
            "candidates": [_arm_dict(arm) for arm in self.candidates],
            "baseline": _arm_dict(self.baseline),
            "why_baseline": self.why_baseline,
            "first_seed": self.first_seed,
            "margin": self.margin,
            "metric": self.metric,
            "goal": self.goal,
            "looks": list(self.looks),
            "error": self.error,
        }


def plan_from(recorded: Mapping[str, Any]) -> Plan:
    """Return a plan from its record.

    Raises:
        ValueError: If the record is not a plan.
    """
    try:
        return Plan(
            candidates=tuple(_arm_from(arm) for arm in recorded["candidates"]),
            baseline=_arm_from(recorded["baseline"]),
            why_baseline=str(recorded["why_baseline"]),
            first_seed=int(recorded["first_seed"]),
            margin=float(recorded["margin"]),
            metric=str(recorded["metric"]),
            goal=recorded["goal"],
            looks=tuple(int(look) for look in recorded["looks"]),
            error=float(recorded["error"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"this is not a recorded confirmation: {error}") from error


ArmState = Literal["running", "decided", "lost"]


@dataclass(frozen=True)
class ArmResult:
    """The status of an arm."""

    arm: Arm
    state: ArmState
    """`lost` means that one of its runs diverged or failed, so it cannot be judged."""

    values: tuple[float, ...]
    """The final objective of its runs, in the order of seeds."""

    difference: Difference | None
    """Difference to the baseline at its last look; `None` before the first look, and for the baseline."""


@dataclass(frozen=True)
class Standing:
    """The status of a confirmation."""

    baseline: ArmResult
    candidates: tuple[ArmResult, ...]
    due: tuple[tuple[str, TrialConfig], ...]
    """The runs of the current look that have not ended, by run key."""

    @property
    def over(self) -> bool:
        """Whether no runs are left."""
        return not self.due

    @property
    def best(self) -> ArmResult | None:
        """The best of the candidates that are significantly better than the baseline."""
        better = [each for each in self.candidates if is_better(each)]
        return max(better, key=lambda each: abs(each.difference.mean if each.difference else 0.0), default=None)


def standing(plan: Plan, finals: Mapping[str, float], lost: Collection[str] = ()) -> Standing:
    """Return the pending runs and the results so far.

    Args:
        plan: The confirmation.
        finals: The final objective of each complete run, by run key.
        lost: The run keys of runs that diverged or failed, and are not tried again.
    """
    sign = 1.0 if plan.goal == "maximize" else -1.0
    differences: dict[Arm, Difference] = {}
    lost_arms: set[Arm] = set()
    under_way = list(plan.candidates)
    due: list[tuple[str, TrialConfig]] = []
    for count in plan.looks:
        lost_arms |= {
            arm for arm in (plan.baseline, *under_way) if any(key in lost for key, _ in plan.runs(arm, count))
        }
        if plan.baseline in lost_arms:  # nothing can be judged
            break
        under_way = [arm for arm in under_way if arm not in lost_arms]
        if not under_way:  # more runs of the baseline alone would show nothing
            break
        columns = [list(plan.runs(arm, count)) for arm in (plan.baseline, *under_way)]
        due = [run for seed in zip(*columns, strict=True) for run in seed if run[0] not in finals]
        if due:
            break
        base, *ours = (sign * np.array([finals[key] for key, _ in column]) for column in columns)
        differences |= {arm: judge(plan.design, values, base) for arm, values in zip(under_way, ours, strict=True)}
        under_way = [arm for arm in under_way if differences[arm].verdict == "open"]

    def result(arm: Arm) -> ArmResult:
        values = tuple(finals[key] for key, _ in plan.runs(arm, plan.looks[-1]) if key in finals)
        state: ArmState = "lost" if arm in lost_arms else "running" if due and _is_open(arm) else "decided"
        return ArmResult(arm, state, values, differences.get(arm))

    def _is_open(arm: Arm) -> bool:
        return arm is plan.baseline or arm in under_way

    return Standing(result(plan.baseline), tuple(map(result, plan.candidates)), tuple(due))


def is_better(result: ArmResult) -> bool:
    """Whether a candidate is significantly better than the baseline."""
    found = result.difference
    return found is not None and found.verdict == "real" and found.mean > 0


def _arm_dict(arm: Arm) -> dict[str, Any]:
    config = arm.config.model_dump(mode="json", by_alias=True)
    return {"config": config, "trial": arm.trial, "promised": arm.promised}


def _arm_from(recorded: Mapping[str, Any]) -> Arm:
    config = TrialConfig.model_validate(recorded["config"])
    return Arm(config, recorded["trial"], recorded["promised"])
