"""Which parameters decided how good a trial was, by Optuna."""

import math
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from search_spaces.domains import Choice, Domain, IntRange
from tune_jobs.record.rows import ENDED, Ask
from tune_jobs.report.data import ReportData
from tune_jobs.results.columns import SEED, unlike
from tune_jobs.results.row import Row
from tune_jobs.results.seeds import Repeats
from tune_jobs.results.summary import Summary

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FEWEST = 20
"""With fewer trials importance is mostly chance."""

TOP, TOP_SHARE = 5, 0.1
"""The best tenth is compared with all, and no fewer than five trials, as Optuna advises."""

_SHORT = {"patch": "p"}


@dataclass(frozen=True)
class Importance:
    """Shares by parameter, the largest first; none where nothing can be said. `note` says of what, or why not."""

    shares: dict[str, float]
    note: str


def importance_of(data: ReportData) -> Importance:
    """Rebuild the study from the ledger, and ask Optuna what set the best trials apart.

    Only the order of trials matters to PED-ANOVA, so it gets the leaderboard's: whole trials before those that were
    stopped, and these before those that diverged. Nothing that drove trials out of the race is thereby overlooked.
    """
    asks = {ask.run_key: ask for ask in data.asks if ask.outcome == "new" and ask.run_key and ask.decisions}
    ranks = {key: rank for key, rank in _ranks(data.summary).items() if key in asks}
    if data.spec is None:
        return Importance({}, "The sweep's file cannot be read here, so the study cannot be rebuilt.")
    if len(ranks) < FEWEST:
        return Importance(
            {},
            f"This needs {FEWEST} trials that can be compared, and there are {len(ranks)}: it would be mostly chance.",
        )
    if len(set(ranks.values())) == 1:
        return Importance({}, f"All {len(ranks)} trials came to the same value, so no parameter made a difference.")
    return _asked(data, {key: asks[key] for key in ranks}, ranks)


def _ranks(found: Summary) -> dict[str, int]:
    """Places on the leaderboard by run key, the same for equals, of the trials that ended or diverged.

    A complete trial has the place of its configuration.
    """
    rows = found.shown
    of = {row.run_key: each.complete for each in found.configurations for row in each.complete.rows}
    ended = [row for row in rows if row.counts and row.state in ENDED]
    merits = {row.run_key: _merit(row, of.get(row.run_key)) for row in ended}
    places = {merit: place for place, merit in enumerate(dict.fromkeys(merits.values()))}
    last = dict.fromkeys((row.run_key for row in rows if row.state == "diverged"), len(places))
    return {key: places[merit] for key, merit in merits.items()} | last


def _merit(row: Row, complete: Repeats | None) -> tuple[str, int, float | None]:
    if complete is None:
        return row.state, row.epoch, row.value
    return row.state, len(complete.rows), complete.mean


def _asked(data: ReportData, asks: dict[str, Ask], ranks: dict[str, int]) -> Importance:
    import optuna

    assert data.spec is not None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {
        leaf.path: _distribution(leaf.domain) for leaf in data.spec.space.domains() if _name(leaf.path) != SEED
    }
    study = optuna.create_study(direction="minimize")
    best = max(TOP, math.ceil(TOP_SHARE * len(ranks)))
    said = f"what set the best {best} of {len(ranks)} trials apart"
    try:
        for key, rank in ranks.items():
            decisions: dict[str, Any] = {p: v for p, v in asks[key].decisions.items() if p in distributions}
            study.add_trial(
                optuna.trial.create_trial(
                    params=decisions, distributions={path: distributions[path] for path in decisions}, value=rank
                )
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=best / len(ranks))
            found = optuna.importance.get_param_importances(study, evaluator=evaluator, normalize=False)
    except (KeyError, ValueError, RuntimeError, ZeroDivisionError) as error:
        return Importance({}, f"Optuna does not find {said}: {error}.")
    whole = sum(found.values())
    if whole <= 0:
        return Importance({}, f"No parameter made a difference: Optuna does not find {said}.")
    names = {path: _name(path) for path in found}
    unique = unlike(names)
    return Importance(
        {unique[path]: share / whole for path, share in found.items()},
        f"Shares by Optuna's PED-ANOVA: {said}. That trials diverged or were stopped early counts, too.",
    )


def _distribution(domain: Domain) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(domain, Choice):
        return CategoricalDistribution(domain.values)
    if isinstance(domain, IntRange):
        return IntDistribution(domain.low, domain.high, log=domain.log, step=domain.step)
    return FloatDistribution(domain.low, domain.high, log=domain.log)


def _name(path: str) -> str:
    """A path's last field, with the field above where that is a choice of branch: `space.model.layer.k` is k."""
    last = re.sub(r"\[.*?\]", "", path).rpartition(".")[2]
    return _SHORT.get(last, last)
