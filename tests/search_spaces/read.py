"""Read texts as a space, or as a sweep with mistakes."""

import pytest

from search_spaces import Space, SpecError, TrialConfig, parse_sweep
from search_spaces.reading.document import compose
from search_spaces.reading.reader import Reader


def space_of(text: str) -> Space:
    """Return the space in a text."""
    reader = Reader()
    root = reader.read(TrialConfig, compose(text, "space.yaml"), "space", varying="")
    assert root is not None, reader.problems
    return Space(root)


def complaint(text: str) -> str:
    """Return the messages about an invalid sweep."""
    with pytest.raises(SpecError) as caught:
        parse_sweep(text)
    return str(caught.value)
