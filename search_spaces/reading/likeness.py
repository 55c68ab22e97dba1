"""Suggestions: the known word that a misspelt one most likely meant."""

import difflib
from collections.abc import Iterable

_LONGEST = 100
_CUTOFF = 0.6
_SHORTEST = 3  # letters needed to complete a word from its start
MOST_ALIKE = 12
"""Largest number of words that a message suggests; with more, it lists all valid words."""


def close(word: str, valid: Iterable[str], *, cutoff: float = _CUTOFF) -> str | None:
    """Return the closest valid word, if any: by its initials, by its letters, or as the only completion."""
    by_lower = {name.lower(): name for name in valid}
    for name in by_lower.values():
        if len(word) > 1 and (word == _initials(name) or name == _initials(word)):  # learning_rate is lr
            return name
    found = difflib.get_close_matches(word.lower()[:_LONGEST], by_lower, n=1, cutoff=cutoff)
    longer = [name for name in by_lower if len(word) >= _SHORTEST and name.startswith(word.lower()[:_LONGEST])]
    return by_lower[found[0]] if found else by_lower[longer[0]] if len(longer) == 1 else None


def alike(word: str, valid: Iterable[str]) -> list[str]:
    """Return the valid words that start with `word`; else the closest; else those with a similar start; else none."""
    names, start = list(valid), word.lower()[:_LONGEST]
    if len(start) > 1 and (found := _beginning(start, names)):
        return found
    if (nearest_one := close(word, names)) is not None:
        return [nearest_one]
    beginnings = {name.lower()[: len(start)] for name in names if len(name) > len(start)}
    near = difflib.get_close_matches(start, sorted(beginnings), n=1, cutoff=_CUTOFF) if len(start) >= _SHORTEST else []
    return _beginning(near[0], names) if near else []


def _beginning(start: str, names: list[str]) -> list[str]:
    same = [name for name in names if name.lower() == start]
    return same or [name for name in names if name.lower().startswith(start)]


def nearest(word: str, valid: Iterable[str]) -> str:
    """Return `did you mean 'x'?`, or the list of valid words if none is close."""
    words = list(valid)
    found = alike(word, words)
    return did_you_mean(found) if 0 < len(found) <= MOST_ALIKE else f"valid names are {', '.join(words)}."


def did_you_mean(words: list[str]) -> str:
    """Return the question `did you mean 'x', 'y' or 'z'?`."""
    *others, last = map(repr, words)
    return f"did you mean {', '.join(others)} or {last}?" if others else f"did you mean {last}?"


def _initials(name: str) -> str:
    return "".join(part[:1] for part in name.replace("-", "_").split("_"))
