"""Chooses the configurations of a search that a confirmation runs again, and the baseline."""

from statistics import fmean
from typing import TYPE_CHECKING

from search_spaces import TrialConfig, canonical, config_key
from tune_jobs.errors import UsageError
from tune_jobs.evidence.confirmation import Arm
from tune_jobs.results.summary import Summary

if TYPE_CHECKING:
    from tune_jobs.results.row import Row

MOST_SEED = 2**31 - 1


def ranked(found: Summary) -> list[Arm]:
    """Return the configurations with a complete trial, the best first; the promised value is the mean over seeds."""
    groups: dict[str, list[Row]] = {}
    for row in found.rows:
        if row.counts and row.state == "complete":
            groups.setdefault(config_key(row.config), []).append(row)
    return [Arm(rows[0].config, rows[0].number, fmean(row.value or 0.0 for row in rows)) for rows in groups.values()]


def chosen(found: Summary, top: int, baseline: Arm | None) -> tuple[tuple[Arm, ...], Arm, str]:
    """Return the candidates, the baseline, and how the baseline was chosen.

    Args:
        found: The summary of the search.
        top: Number of candidates.
        baseline: The user's choice. If `None`, the search's best plain convolution or plain attention, or without one
            the second best configuration.

    Raises:
        UsageError: If too few trials are complete.
    """
    arms = ranked(found)
    if not arms:
        raise UsageError(
            f"no trial of {found.name} is complete, so there is nothing to confirm; finish the sweep (convnn resume "
            f"{found.name}), or retry its failed trials (convnn retry {found.name} --failed)."
        )
    why = "chosen by the user"
    if baseline is None:
        baseline, why = _baseline(found, arms)
    same = config_key(baseline.config)
    candidates = tuple(arm for arm in arms if config_key(arm.config) != same)[:top]
    if not candidates:
        raise UsageError(
            f"{found.name} has no complete trial besides the baseline, so there is nothing to compare; finish the "
            f"sweep (convnn resume {found.name}), or give another --baseline."
        )
    return candidates, baseline, why


def _baseline(found: Summary, arms: list[Arm]) -> tuple[Arm, str]:
    plain = next((arm for arm in arms if is_plain(arm.config)), None)
    if plain is not None:
        return plain, "the best with neither ConvNN nor another mixing layer than the paper's baseline"
    if len(arms) == 1:
        raise UsageError(
            f"{found.name} has only one configuration with a complete trial, so there is nothing to compare it with; "
            f"give a --baseline, or finish the sweep: convnn resume {found.name}"
        )
    return arms[1], "the second best, as no plain convolution or plain attention is complete"


def is_plain(config: TrialConfig) -> bool:
    """Return whether all its mixing layers are plain convolutions or plain attention."""
    return all(part.is_baseline for part in canonical(config).model.mixing_layer.parts())


def first_unused(seeds: set[int], count: int) -> int:
    """Return the first of `count` consecutive unused seeds."""
    after = max(seeds, default=-1) + 1
    if after + count - 1 <= MOST_SEED:
        return after
    return next(start for start in range(MOST_SEED) if seeds.isdisjoint(range(start, start + count)))
