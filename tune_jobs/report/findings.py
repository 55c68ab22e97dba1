"""What the effects of a sweep come to, in sentences: never more than its complete trials carry."""

from dataclasses import asdict, dataclass
from typing import Any

from tune_jobs.report.effects import Effects, Field, Interval, Value
from tune_jobs.report.surrogate import LEAST_DF, LEAST_RUNS, LEVEL
from tune_jobs.results.words import gain, gains


@dataclass(frozen=True, kw_only=True)
class FieldFound(Field):
    """A field, with what was found in a sentence."""

    finding: str


@dataclass(frozen=True, kw_only=True)
class EffectsFound(Effects):
    """What all fields came to, as programs get it."""

    fields: list[FieldFound]  # type: ignore[assignment]
    method: list[str]


_AMONG = "Among trials that ran to the end, "


def finding(effects: Effects, field: Field) -> str:
    """Which of a field's values can be told apart, and by how much, or why none can."""
    if field.reference is None:
        return _why_none(effects, field)
    best = field.values[field.reference].label
    level = [value.label for at, value in enumerate(field.values) if value.effect is not None and at not in field.worse]
    parts = []
    if not field.worse:
        assert field.most is not None
        parts.append(
            f"{field.name} {_listed([best, *level], field)} cannot be told apart: "
            f"no two of them differ by more than {gain(field.most, effects.metric)}"
        )
    else:
        if len(level) == 1:
            parts.append(f"{field.name} {_listed([best, *level], field)} cannot be told apart")
        elif level:
            parts.append(f"{field.name} {_listed(level, field)} cannot be told apart from {best}")
        parts.append(_worse(effects, field, best, named=bool(parts)))
    few = [value.label for value in field.values if value.complete < LEAST_RUNS]
    if few:
        parts.append(f"too few complete {_noun(effects)} have {_and(few)}")
    said = "; ".join(parts)
    if field.carried and field.worse:
        said += f" (each value of {field.name} has one of {_and(field.carried)}, whose effect is in this)"
    return f"{_AMONG if effects.some_ended_early else ''}{said}."


def _noun(effects: Effects) -> str:
    return "configurations" if effects.several else "trials"


def _worse(effects: Effects, field: Field, best: str, *, named: bool) -> str:
    of = [(value.label, _by(value.effect, effects.metric)) for value in _values(field, field.worse)]
    (first, by), *others = of
    said = f"{'' if named else f'{field.name} '}{first} is worse than {best}, by {by}"
    return _and([said, *(f"{label} by {by}" for label, by in others)])


def _values(field: Field, places: list[int]) -> list[Value]:
    return [field.values[place] for place in places]


def _by(effect: Interval | None, metric: str) -> str:
    assert effect is not None
    low, high = sorted((abs(effect.low), abs(effect.high)))
    return gains(low, high, metric)


def _why_none(effects: Effects, field: Field) -> str:
    noun = _noun(effects)
    start = f"{field.name}: nothing can be said"
    match field.why_none:
        case "few":
            return f"{start}; too few complete {noun} to tell: {effects.complete}, and this takes {field.needed}."
        case "few values":
            return f"{start}; fewer than two of its values have {LEAST_RUNS} complete {noun}."
        case "selected":
            counts = ", ".join(
                f"{value.complete} of {value.tried} at {value.label}" for value in field.values if value.tried
            )
            return (
                f"{start} from final values: not all of its values ran to the end alike ({counts}), and those that a "
                f"rule or a failure left over are a selection."
            )
        case _:
            return f"{start}; its values come with those of other fields, so that none can be held equal."


def _listed(labels: list[str], field: Field) -> str:
    """In the order of the field."""
    order = [value.label for value in field.values]
    return _and(sorted(labels, key=order.index))


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def points(value: float, metric: str, sign: str = "") -> str:
    """A difference as tables have it, accuracies in points; with a `sign` of + always with its sign."""
    return f"{100 * value:{sign}.2f}" if "accuracy" in metric else f"{value:{sign}.4f}"


def method(effects: Effects) -> list[str]:
    """How the numbers were found, and of what they tell."""
    noun = _noun(effects)
    seeds = " A configuration with several seeds counts once, by their mean." if effects.several else ""
    of = f"Best, mean and differences are of {effects.complete} complete {noun}.{seeds}"
    lines = [f"{of} They tell of what was tried: a sampler that learns tries more of what it found good."]
    if effects.some_ended_early:
        lines.append(
            "What was stopped, diverged or failed is counted, and is in no mean. Where a rule stops what looks bad, "
            "those that are left look better than all would have."
        )
    if effects.family:
        lines.append(
            f"Differences hold the other fields equal, by ordinary least squares: choices by value, numbers by a line "
            f"and a parabola; t intervals with the larger of the usual and HC3's standard error, at least {LEAST_DF} "
            f"residual degrees of freedom. All {effects.family} comparisons hold at once with {1 - LEVEL:.0%} "
            f"(Bonferroni); a mean's interval holds with {1 - LEVEL:.0%} by itself."
        )
    return lines


def as_dict(effects: Effects) -> dict[str, Any]:
    """For programs: stable keys; every number as the objective has it."""
    fields = [asdict(field) | {"finding": finding(effects, field)} for field in effects.fields]
    return asdict(effects) | {"fields": fields, "method": method(effects)}
