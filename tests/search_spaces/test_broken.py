"""Sweep files with common mistakes, each with its exact expected message."""

from pathlib import Path

import pytest

from search_spaces import SpecError, parse_sweep

BROKEN = Path(__file__).parent / "broken"


@pytest.mark.parametrize("name", sorted(path.stem for path in BROKEN.glob("*.yaml")))
def test_a_mistake_gets_the_expected_message(name: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_sweep((BROKEN / f"{name}.yaml").read_text(encoding="utf-8"), f"{name}.yaml")
    assert f"{caught.value}\n" == (BROKEN / f"{name}.txt").read_text(encoding="utf-8")


def test_every_broken_file_has_its_message_and_every_message_its_file() -> None:
    files, messages = ({path.stem for path in BROKEN.glob(f"*.{kind}")} for kind in ("yaml", "txt"))
    assert files == messages
    assert len(files) >= 24
