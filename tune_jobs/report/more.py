"""What more trials would bring, said at any time."""

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
    """What more trials would bring, in words and, where it can be said, in numbers; gains of accuracy as fractions."""

    text: str
    forecast: Forecast | None


def more_trials(found: Summary, spec: SweepSpec | None, by_hand: Collection[str]) -> MoreTrials:
    """What `MORE` trials would bring to a sweep.

    Args:
        found: How it stands.
        spec: What it searches, if that is known.
        by_hand: The run keys of trials that people asked to be stopped.
    """
    asked = f"What {MORE} more trials would bring"
    if found.exhausted:
        return MoreTrials("More trials would bring nothing: every configuration has been tried.", None)
    if spec is None:
        return MoreTrials(f"{asked} is not known: the sweep's file cannot be read.", None)
    if isinstance(spec.search, Grid):
        why = "a grid goes through its points in order, so those so far do not stand for the others"
        return MoreTrials(f"{asked} cannot be said: {why}.", None)
    configs = [each for each in found.configurations if each.first.excluded is None and not _by_hand(each, by_hand)]
    ended = ((each.state, each.complete.mean if each.complete.rows else each.first.value) for each in configs)
    trials = tried(ended, maximize=found.goal == "maximize", learns=learns(spec))
    likely = forecast(trials, MORE)
    if likely is None:
        missing = FEWEST - len(trials.finals)
        return MoreTrials(f"{asked} can be said once {missing} more {'is' if missing == 1 else 'are'} complete.", None)
    return MoreTrials(_text(likely, found.metric), likely)


def _by_hand(found: Configuration, by_hand: Collection[str]) -> bool:
    return found.state == "stopped" and found.first.run_key in by_hand


def _text(likely: Forecast, metric: str) -> str:
    better = f"one is better than the best with a chance of {likely.better:.0%}"
    probably = f"{gain(likely.median, metric)} more" if likely.median else "nothing"
    surely = f"with a probability of {likely.confidence:.0%} at most {gain(likely.most, metric)} more"
    how = f"the best {likely.tail} of {plural(likely.tried, 'trial')}, taken to fall off exponentially"
    return f"{likely.trials} more trials would probably bring {probably} ({better}), {surely}. By {how}."
