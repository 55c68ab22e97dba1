import json
from pathlib import Path

import pytest

from tune_jobs.cli.shared.options import PLAIN_WIDTH, confirmed, console, print_json, storage_of
from tune_jobs.errors import UsageError


def test_json_has_no_number_that_json_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [1.5, float("nan")], "b": (float("inf"), {"c": -float("inf")}), "d": "λ"})
    said = capsys.readouterr().out
    assert json.loads(said) == {"a": [1.5, None], "b": [None, {"c": None}], "d": "λ"}
    assert "λ" in said


def test_where_nobody_can_be_asked_yes_must_be_said() -> None:
    assert confirmed("Start over?", yes=True)
    with pytest.raises(UsageError, match=r"Start over\? There is no terminal to ask on; add --yes"):
        confirmed("Start over?", yes=False)


def test_tables_are_not_folded_where_nobody_looks() -> None:
    assert console().width == PLAIN_WIDTH


def test_a_storage_is_whole_and_the_environments_if_none_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONVNN_STORAGE", str(tmp_path / "theirs"))
    assert storage_of(Path("mine")) == tmp_path / "mine"
    assert storage_of(None) == tmp_path / "theirs"
