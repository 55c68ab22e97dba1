"""The expected gain from more trials, at any time."""

from collections.abc import Collection
from dataclasses import dataclass

from search_spaces import SweepSpec
from search_spaces.plurals import plural
from search_spaces.settings import Grid
from tune_jobs.results.forecast import FEWEST, Forecast, forecast, tried
from tune_jobs.results.seeds import Configuration
from tune_jobs.results.summary import Summary
from tune_jobs.results.words import gain
from tune_jobs.search.samplers.learning import learns

MORE = 10


@dataclass(frozen=True)
class MoreTrials:
    """The expected gain from more trials, in words, and as numbers if possible; gains in accuracy are fractions."""

    text: str
    forecast: Forecast | None


def more_trials(found: Summary, spec: SweepSpec | None, by_hand: Collection[str]) -> MoreTrials:
    """Estimate the gain from `MORE` more trials.

    Args:
        found: The sweep's summary.
        spec: The sweep's file, if known.
        by_hand: The run keys of trials that the user asked to stop.
    """
    asked = f"The gain from {MORE} more trials"
    if found.exhausted:
        return MoreTrials("More trials would gain nothing: every configuration has been tried.", None)
    if spec is None:
        return MoreTrials(f"{asked} is unknown: the sweep's file cannot be read.", None)
    if isinstance(spec.search, Grid):
        why = "a grid runs its configurations in order, so those so far are not representative of the others"
        return MoreTrials(f"{asked} cannot be estimated: {why}.", None)
    configs = [each for each in found.configurations if each.first.excluded is None and not _by_hand(each, by_hand)]
    ended = ((each.state, each.complete.mean if each.complete.rows else each.first.value) for each in configs)
    trials = tried(ended, maximize=found.goal == "maximize", learns=learns(spec))
    likely = forecast(trials, MORE)
    if likely is None:
        missing = FEWEST - len(trials.finals)
        return MoreTrials(
            f"{asked} can be estimated once {missing} more {'is' if missing == 1 else 'are'} complete.", None
        )
    return MoreTrials(_text(likely, found.metric), likely)


def _by_hand(found: Configuration, by_hand: Collection[str]) -> bool:
    return found.state == "stopped" and found.first.run_key in by_hand


def _text(likely: Forecast, metric: str) -> str:
    better = f"the chance that one beats the best is {likely.better:.0%}"
    probably = f"improve the best by {gain(likely.median, metric)}" if likely.median else "not improve the best"
    surely = f"with a probability of {likely.confidence:.0%}, the gain is at most {gain(likely.most, metric)}"
    how = f"the best {likely.tail} of {plural(likely.tried, 'trial')}, assumed to have an exponential tail"
    return f"{likely.trials} more trials would probably {probably} ({better}); {surely}. Estimated from {how}."
