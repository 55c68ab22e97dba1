import pytest

from search_spaces.reading.document import compose
from search_spaces.reading.words import LONGEST_SHOWN, cut, quoted, shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("7", "7"),
        ("0.50", "0.50"),
        ("null", "null"),
        ("", "nothing"),
        ("word", "'word'"),
        ("[1, 2]", "a list"),
        ("{kind: x, k: 3}", "{kind: ..., k: ...}"),
    ],
)
def test_file_content_is_shown_as_written(text: str, said: str) -> None:
    (_, node) = compose(f"a: {text}", "").value[0]
    assert shown(node) == said


def test_long_text_is_shortened() -> None:
    assert cut("x" * LONGEST_SHOWN) == "x" * LONGEST_SHOWN
    assert cut("x" * (LONGEST_SHOWN + 1)) == "x" * LONGEST_SHOWN + "..."
    assert quoted("k\n") == r"'k\n'"
    assert quoted("x" * LONGEST_SHOWN).endswith("x...")
