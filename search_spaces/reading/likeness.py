"""The known word that a wrong one was most likely meant to be."""

import difflib
from collections.abc import Iterable

_LONGEST = 100
_CUTOFF = 0.6
_SHORTEST = 3  # letters that say which word begins so
MOST_ALIKE = 12
"""Words that a message offers; of more it lists what is valid."""


def close(word: str, valid: Iterable[str], *, cutoff: float = _CUTOFF) -> str | None:
    """The valid word that is nearest, if one is near: by its initials, by its letters, or the only one to begin so."""
    by_lower = {name.lower(): name for name in valid}
    for name in by_lower.values():
        if len(word) > 1 and (word == _initials(name) or name == _initials(word)):  # learning_rate is lr
            return name
    found = difflib.get_close_matches(word.lower()[:_LONGEST], by_lower, n=1, cutoff=cutoff)
    longer = [name for name in by_lower if len(word) >= _SHORTEST and name.startswith(word.lower()[:_LONGEST])]
    return by_lower[found[0]] if found else by_lower[longer[0]] if len(longer) == 1 else None


def alike(word: str, valid: Iterable[str]) -> list[str]:
    """The valid words that begin with `word`; else the nearest; else those that begin almost so. None if none does."""
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
    """`did you mean 'x'?`, or the list of valid words where none is near."""
    words = list(valid)
    found = alike(word, words)
    return did_you_mean(found) if 0 < len(found) <= MOST_ALIKE else f"valid are {', '.join(words)}."


def did_you_mean(words: list[str]) -> str:
    """The question `did you mean 'x', 'y' or 'z'?`."""
    *others, last = map(repr, words)
    return f"did you mean {', '.join(others)} or {last}?" if others else f"did you mean {last}?"


def _initials(name: str) -> str:
    return "".join(part[:1] for part in name.replace("-", "_").split("_"))
