"""Which parameters decided how good a trial was, by Optuna."""

import math
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from search_spaces.domains import Choice, Domain, IntRange
from tune_jobs.ledger import Ask
from tune_jobs.report.facts import Facts

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FEWEST = 20
"""With fewer trials importance is mostly chance."""

_SHORT = {"patch": "p"}


@dataclass(frozen=True)
class Importance:
    """Shares by parameter, the largest first; none where nothing can be said. `note` says of what, or why not."""

    shares: dict[str, float]
    note: str


def importance_of(facts: Facts) -> Importance:
    """Rebuild the study from the ledger, and ask Optuna.

    Where the stopping rule ended most trials early, all are compared where it first looks.
    """
    asks = {ask.run_key: ask for ask in facts.asks if ask.outcome == "new" and ask.run_key and ask.decisions}
    rows = [row for row in facts.comparable if row.run_key in asks]
    if facts.spec is None:
        return Importance({}, "The sweep's file cannot be read here, so the study cannot be rebuilt.")
    metric, complete = facts.standing.metric, [row for row in rows if row.state == "complete"]
    if len(complete) >= max(FEWEST, len(rows) / 2):
        values = {row.run_key: row.metrics[metric] for row in complete}
        said = f"the values of the {len(values)} complete trials"
    else:
        common = facts.ladder[0].epoch if facts.ladder else max([row.epoch for row in rows], default=0)
        reached = [epoch for row in rows for epoch in facts.courses[row.run_key] if epoch.epoch == common]
        values = {e.run_key: e.metrics[metric] for e in reached if math.isfinite(e.metrics.get(metric, math.nan))}
        said = f"the values of the {len(values)} trials that reached epoch {common}, there"
    if len(values) < FEWEST:
        return Importance(
            {},
            f"This needs {FEWEST} trials that can be compared, and there are {len(values)}: it would be mostly chance.",
        )
    return _asked(facts, asks, values, said)


def _asked(facts: Facts, asks: dict[str, Ask], values: dict[str, float], said: str) -> Importance:
    import optuna

    assert facts.spec is not None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {leaf.path: _distribution(leaf.domain) for leaf in facts.spec.space.domains()}
    study = optuna.create_study(direction=facts.standing.goal)
    try:
        for key, value in values.items():
            decisions: dict[str, Any] = asks[key].decisions
            study.add_trial(
                optuna.trial.create_trial(
                    params=decisions, distributions={path: distributions[path] for path in decisions}, value=value
                )
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            found = optuna.importance.get_param_importances(study)
    except (KeyError, ValueError, RuntimeError, ZeroDivisionError) as error:
        return Importance({}, f"Optuna finds no importance in {said}: {error}.")
    if not found or sum(found.values()) <= 0:
        return Importance({}, f"By {said}, no parameter made a difference.")
    names = {path: _name(path) for path in found}
    unique = {path: name if list(names.values()).count(name) == 1 else path for path, name in names.items()}
    return Importance(
        {unique[path]: share for path, share in found.items()},
        f"Shares by Optuna's PED-ANOVA of {said}: what set the best tenth apart.",
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
