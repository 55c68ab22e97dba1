"""Properties of keys that need no built model: they compare the recipes for the models."""

from dataclasses import dataclass
from typing import Any

from search_spaces import TrialConfig, canonical, config_key
from search_spaces.base import by_path
from tune_jobs.conformance.outcome import Broken, require

CLASSES = 10


@dataclass(frozen=True)
class Keyed:
    """A trial that can run, its key, and the recipe for its model."""

    trial: TrialConfig
    key: str
    recipe: dict[str, Any]

    @classmethod
    def of(cls, trial: TrialConfig) -> "Keyed":
        """Find the key and the recipe of a trial."""
        return cls(trial, config_key(trial), canonical(trial).model.factory(CLASSES).as_plain())


def equal_keys(all_keyed: list[Keyed]) -> None:
    """Require that settings with the same key have the same recipe."""
    by_key: dict[str, Keyed] = {}
    wrong = []
    for each in all_keyed:
        first = by_key.setdefault(each.key, each)
        if first.recipe != each.recipe:
            wrong.append(difference(first.trial, each.trial))
    if wrong:
        raise Broken(
            f"settings with {_in_words(min(wrong, key=len))} have the same key, but build different models; "
            "`key_content` must contain all fields that change the model, or `canonical` must return one form for both"
        )


def each_field(bases: list[Keyed], all_keyed: list[Keyed]) -> str:
    """Require that a field that changes the key also changes the recipe, with at least one of its values."""
    changes: dict[str, bool] = {}
    for base, other in ((base, other) for base in bases for other in all_keyed if base.key != other.key):
        fields = difference(base.trial, other.trial)
        if len(fields) == 1:
            (field,) = fields
            changes[field] = changes.get(field, False) or base.recipe != other.recipe
    unused = [field for field, changed in changes.items() if not changed]
    require(
        not unused,
        f"{', '.join(unused)} must change the model that is built, because the same model would be trained again for "
        f"each value; use it in `factory` or `arguments`, or let `canonical` return one value for all",
    )
    return f"{len(changes)} fields"


def difference(first: TrialConfig, other: TrialConfig) -> dict[str, list[str]]:
    """Return the fields of the models that differ, by path, and what each model has there, if it has the field."""
    sides = [dict(by_path(trial.model.model_dump(by_alias=True))) for trial in (first, other)]
    seen = {name: [_value(name, side) for side in sides] for name in {**sides[0], **sides[1]}}
    return {name: values for name, values in seen.items() if values[0] != values[1]}


def apart(first: TrialConfig, other: TrialConfig) -> str:
    """Return in words what differs between the models of two trials."""
    return _in_words(difference(first, other))


def _value(name: str, fields: dict[str, Any]) -> str:
    return f"{name}: {'null' if fields[name] is None else fields[name]}" if name in fields else ""


def _in_words(fields: dict[str, list[str]]) -> str:
    return " and with ".join(
        ", ".join(filter(None, side)) or "the default" for side in zip(*fields.values(), strict=True)
    )
