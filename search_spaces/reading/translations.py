"""Translations from the names and syntax of other tools to ours."""

import math
import unicodedata
from collections.abc import Sequence
from typing import Any

from search_spaces.reading.document import plain, written

MOST = 12
"""Largest number of values that a message lists."""

FIELDS = {
    "method": "search: {sampler: tpe}, or random, or grid",
    "parameters": "space: with the fields of a trial below it",
    "metric": "objective: {metric: val/accuracy}",
    "early_terminate": "stopping: {kind: asha, grace_epochs: 10}",
    "scheduler": "stopping: {kind: asha, grace_epochs: 10}",
    "run_cap": "search: {sampler: tpe, trials: 20}",
    "num_samples": "search: {sampler: tpe, trials: 20}",
    "n_trials": "search: {sampler: tpe, trials: 20}",
    "direction": "objective: {goal: maximize}",
    "sampler": "search: {sampler: tpe}",
    "config": "space: with the fields of a trial below it",
}
"""Our equivalents of top-level fields in other tools' files."""

_ANCHORS = ("x", "_", ".", "anchor", "alias", "default", "template", "common", "shared")
_MINUS = "\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d"
_LOW, _HIGH = ("min", "low", "lower"), ("max", "high", "upper")


def field_hint(name: str, value: object) -> str | None:
    """Return what to write instead of an unknown field at the top of a file."""
    if name in FIELDS:
        return f"write {FIELDS[name]}."
    if name.lower().startswith(_ANCHORS) and isinstance(value, dict | list):
        return "if it holds anchors, define each one where its value is first used: training: &t {...}."
    return None


def domain_hint(content: dict[str, Any], *, whole: bool) -> str | None:
    """Translate a leaf's mapping to our syntax: `{log_uniform: [1e-05, 0.001]}`; `None` if it is not understood.

    Args:
        content: The mapping in the file.
        whole: Whether the field holds integers.
    """
    listed = next(
        (content[key] for key in ("values", "categorical", "categories", "grid_search") if key in content), None
    )
    if isinstance(listed, list):
        return written({"choice": listed}) if len(listed) <= MOST else "{choice: [...]} with the same list"
    if "value" in content and len(content) == 1:
        return written(content["value"])
    if isinstance(content.get("any_of"), list):
        return choice_hint(content["any_of"])
    ends = [next((content[key] for key in names if key in content), None) for names in (_LOW, _HIGH)]
    if not all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends):
        return None
    kind = " ".join(str(content.get(key, "")) for key in ("distribution", "type"))
    log = "log" in kind or content.get("log") is True
    if whole or "int" in kind or kind.strip().startswith("q"):
        return written({"int": ends} | ({"log": True} if log else {}))
    return written({"log_uniform" if log else "uniform": ends})


def list_hint(content: dict[str, Any], *, whole: bool) -> str | None:
    """Translate a domain without brackets, as in `{int: 16, 64}`, or with another tool's name, to our syntax.

    Args:
        content: The mapping in the file.
        whole: Whether the field holds integers.
    """
    name = next((name for name in content if name in _KINDS), None)
    items = _items(content, name) if name else None
    if name is None or not items or len(items) > MOST:
        return None
    if _KINDS[name] == "choice":
        return written({"choice": items})
    if len(items) != 2 or not all(isinstance(item, int | float) and not isinstance(item, bool) for item in items):  # noqa: PLR2004
        return None
    log, step = _KINDS[name] == "log_uniform" or content.get("log") is True, content.get("step")
    if whole:
        return written({"int": items} | ({"log": True} if log else {"step": step} if step is not None else {}))
    return written({"log_uniform" if log else "uniform": items})


_KINDS = {
    **dict.fromkeys(("choice", "list"), "choice"),
    **dict.fromkeys(("int", "integer", "randint"), "int"),
    **dict.fromkeys(("uniform", "float", "real", "range"), "uniform"),
    **dict.fromkeys(("log_uniform", "loguniform", "log"), "log_uniform"),
}
"""Our domains, by their names in any tool."""


def _items(content: dict[str, Any], name: str) -> list[Any] | None:
    """Return the items below a name. Without brackets, YAML reads `64` in `{int: 16, 64}` as a key without a value."""
    first = content[name]
    more = [other for other, value in content.items() if value is None and other != name]
    if isinstance(first, dict | list):
        return None if more or isinstance(first, dict) else first
    items = [first, *more] if more or not isinstance(first, str) else first.split(",")
    found = [plain(item.strip(" ()")) if isinstance(item, str) else item for item in items]
    return found if len(found) > 1 else None


def choice_hint(items: Sequence[Any]) -> str | None:
    """Return a choice of values for a list of values and domains."""
    values: list[Any] = []
    for item in items:
        values += _values_of(item) if isinstance(item, dict) else [item]
    if not values or len(values) > MOST or any(isinstance(value, dict | list) for value in values):
        return None
    return written({"choice": list(dict.fromkeys(values))})


def step_hint(low: float, high: float, step: object) -> str | None:
    """Return a choice for a range of real numbers with a step."""
    if not isinstance(step, int | float) or isinstance(step, bool) or not step > 0:
        return None
    count = math.floor((high - low) / step + 1e-9) + 1
    if not 1 < count <= MOST:
        return None
    return written({"choice": [_short(low + number * step) for number in range(count)]})


def zero_hint(high: float) -> str:
    """Return alternatives for a logarithmic range that starts at 0."""
    low = _short(high / 1e5)
    listed = written({"choice": [0, *_decades(low, high)]})
    return f"write {written({'log_uniform': [low, high]})}, or, to try 0 as well, {listed}"


def look_alike(text: str) -> str | None:
    """Return the intended number of a text with non-ASCII minus signs or digits."""
    strange = next((letter for letter in text if not letter.isascii()), None)
    if strange is None:
        return None
    meant = unicodedata.normalize("NFKC", "".join("-" if letter in _MINUS else letter for letter in text)).strip()
    if isinstance(plain(meant), bool | str) or plain(meant) is None:
        return None
    return f"it contains {strange!r} ({unicodedata.name(strange, 'a letter without a name').lower()}); write {meant}."


def plain_number(value: object) -> int | float | None:
    """Return the fraction of a percentage such as `10%`, or the integer of a float such as `1e6`."""
    if isinstance(value, str) and value.endswith("%") and isinstance(share := plain(value[:-1].strip()), int | float):
        return _short(share / 100)
    return int(value) if isinstance(value, float) and value.is_integer() else None


def _values_of(domain: dict[str, Any]) -> list[Any]:
    """Return a few values of a domain, evenly spread."""
    ((kind, ends), *_) = [*domain.items(), (None, None)]
    if kind == "choice" and isinstance(ends, list):
        return ends
    if not isinstance(ends, list) or len(ends) != 2 or not all(isinstance(end, int | float) for end in ends):  # noqa: PLR2004
        return [domain]
    low, high = ends
    if kind == "log_uniform" and 0 < low < high:
        return _decades(low, high)
    return [low, _short((low + high) / 2), high] if kind == "uniform" else ends


def _decades(low: float, high: float) -> list[float]:
    found = [low]
    while found[-1] * 10 < high * (1 - 1e-9):
        found.append(_short(found[-1] * 10))
    return [*found, high]


def _short(value: float) -> float:
    """Remove the digits that rounding errors add."""
    return float(f"{value:.6g}")
