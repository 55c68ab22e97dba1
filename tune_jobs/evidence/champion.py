"""Chooses the champion of a finished confirmation, by a rule that was fixed before the first run.

The champion is the configuration with the greatest difference among those shown to be better than the baseline. If
there is none, it is the baseline. If the baseline is only the search's second best, because no plain convolution or
plain attention is complete, it is the search's best, unless that is shown to be worse. The champion's weights are those
of its run with the first seed, so that no result influences the choice.
"""

import math

from tune_jobs.evidence.confirmation import Arm, ArmResult, Plan, Standing, is_better
from tune_jobs.record.rows import Champion
from tune_jobs.results.words import champion_said


def champion_of(plan: Plan, found: Standing, opened: str, *, runner_up: bool) -> Champion | None:
    """Return the champion; `None` while the confirmation is not finished, or if it could judge nothing.

    Args:
        plan: The confirmation.
        found: Its status.
        opened: When the test set was opened for it.
        runner_up: Whether the baseline is only the search's second best.
    """
    judged = found.baseline.state != "lost" and any(each.difference for each in found.candidates)
    if not (found.over and judged):
        return None
    chosen, why = _chosen(plan, found, runner_up=runner_up)
    (run_key, _), *_ = plan.runs(chosen.arm, 1)
    better = found.best is not None
    return Champion(run_key, chosen.arm.trial, opened, plan.metric, better, why, _numbers(chosen))


def said(arm: Arm, *, start: bool = False) -> str:
    """Return the name of a configuration for use in a sentence."""
    text = "the configuration of the file" if arm.trial is None else f"trial {arm.trial}"
    return text[0].upper() + text[1:] if start else text


def difference_said(result: ArmResult, metric: str) -> str:
    """Format the difference to the baseline with its interval; `-` before the first look."""
    found = result.difference
    scale, form = (100, "+.2f") if metric.endswith("accuracy") else (1, "+.4f")
    if found is None:
        return "-"
    between = "" if math.isinf(found.low) else f" ({scale * found.low:{form}} to {scale * found.high:{form}})"
    return f"{scale * found.mean:{form}}{between}"


def _chosen(plan: Plan, found: Standing, *, runner_up: bool) -> tuple[ArmResult, str]:
    baseline, best = found.baseline, found.best
    if best is not None:
        unit = " points" if plan.metric.endswith("accuracy") else ""
        runs = best.difference.runs if best.difference else 0
        why = (
            f"{said(best.arm, start=True)} is better than the baseline, {said(baseline.arm)}, beyond noise: "
            f"{difference_said(best, plan.metric)}{unit} of {plan.metric} over {runs} seeds of each."
        )
        others = [said(each.arm) for each in found.candidates if is_better(each) and each is not best]
        if others:
            why += f" So {'is' if len(others) == 1 else 'are'} {', '.join(others)}; these were not compared with it."
        return best, why
    none = "No configuration was shown to be better than the baseline"
    first = found.candidates[0]
    if runner_up and first.state != "lost" and not _is_worse(first):
        return first, (
            f"{none}, {said(baseline.arm)}. As that is only the search's second best, the search's best stays: "
            f"{said(first.arm)}."
        )
    return baseline, f"{none}, {said(baseline.arm)}, so that stays."


def _is_worse(result: ArmResult) -> bool:
    found = result.difference
    return found is not None and found.verdict == "real" and found.mean < 0


def _numbers(result: ArmResult) -> dict[str, float]:
    values, found = result.values, result.difference
    told = {"runs": float(len(values)), "mean": math.fsum(values) / len(values)}
    if found is not None:
        told |= {"difference": found.mean, "low": found.low, "high": found.high}
    return {name: value for name, value in told.items() if math.isfinite(value)}


def champion_shown(champion: Champion, name: str) -> list[str]:
    """Return lines that describe the champion: which one, why, and how to get its weights."""
    return [
        f"champion: {champion_said(champion)}",
        f"  {champion.why}",
        f"  to export its weights (from its run with the first seed): convnn export {name} champion FILE",
    ]
