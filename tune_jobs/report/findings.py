"""The effects of a sweep's fields in sentences, without claiming more than its complete trials support."""

from dataclasses import asdict, dataclass
from typing import Any

from tune_jobs.report.effects import Effects, Field, Interval, Value
from tune_jobs.report.surrogate import LEAST_DF, LEAST_RUNS, LEVEL
from tune_jobs.results.words import gain, gains


@dataclass(frozen=True, kw_only=True)
class FieldFound(Field):
    """A field, with its finding in a sentence."""

    finding: str


@dataclass(frozen=True, kw_only=True)
class EffectsFound(Effects):
    """The effects of all fields, for programs."""

    fields: list[FieldFound]  # type: ignore[assignment]
    method: list[str]


_AMONG = "Among trials that ran to the end, "


def finding(effects: Effects, field: Field) -> str:
    """Say which values of a field can be told apart and by how much, or why none can."""
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
        parts.append(f"there are too few complete {_noun(effects)} with {_and(few)}")
    said = "; ".join(parts)
    if field.carried and field.worse:
        said += f" (each value of {field.name} has only one value of {_and(field.carried)}, whose effect is included)"
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
    start = f"{field.name}: no conclusion"
    match field.why_none:
        case "few":
            return f"{start}; too few complete {noun}: {effects.complete}, but {field.needed} are needed."
        case "few values":
            return f"{start}; fewer than two of its values have {LEAST_RUNS} complete {noun}."
        case "selected":
            counts = ", ".join(
                f"{value.complete} of {value.tried} at {value.label}" for value in field.values if value.tried
            )
            return (
                f"{start} from final values: the share of complete {noun} depends on the value ({counts}), so the "
                f"complete ones are a selection."
            )
        case _:
            return f"{start}; its values occur only together with values of other fields, which cannot be held equal."


def _listed(labels: list[str], field: Field) -> str:
    """List labels in the order of the field."""
    order = [value.label for value in field.values]
    return _and(sorted(labels, key=order.index))


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def points(value: float, metric: str, sign: str = "") -> str:
    """Format a difference as in tables, accuracies in percentage points; with `sign` "+" always with its sign."""
    return f"{100 * value:{sign}.2f}" if "accuracy" in metric else f"{value:{sign}.4f}"


def method(effects: Effects) -> list[str]:
    """Explain how the numbers were computed, and from which trials."""
    noun = _noun(effects)
    seeds = " A configuration with several seeds counts once, by their mean." if effects.several else ""
    of = f"Best, mean and differences are computed from {effects.complete} complete {noun}.{seeds}"
    learned = "a sampler that learns tries values more often if it found them good"
    lines = [f"{of} They depend on what was tried: {learned}."]
    if effects.some_ended_early:
        lines.append(
            "Trials that were stopped, diverged or failed are counted, but are not part of any mean. If a rule stops "
            "trials that look bad, the remaining ones look better than all would have."
        )
    if effects.family:
        lines.append(
            f"Differences hold the other fields equal, by ordinary least squares: choices by value, numbers by a "
            f"linear and a quadratic term. Their t intervals use the larger of the usual and HC3's standard error, "
            f"with at least {LEAST_DF} residual degrees of freedom. All {effects.family} comparisons hold "
            f"simultaneously with {1 - LEVEL:.0%} confidence (Bonferroni); the interval of a mean has "
            f"{1 - LEVEL:.0%} confidence by itself."
        )
    return lines


def as_dict(effects: Effects) -> dict[str, Any]:
    """Return the effects for programs, with stable keys; numbers have the unit of the objective."""
    fields = [asdict(field) | {"finding": finding(effects, field)} for field in effects.fields]
    return asdict(effects) | {"fields": fields, "method": method(effects)}
