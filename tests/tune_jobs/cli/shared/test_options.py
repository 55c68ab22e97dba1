import json
from pathlib import Path

import pytest

from tune_jobs.cli.shared.options import PLAIN_WIDTH, confirmed, console, print_json, storage_of
from tune_jobs.errors import UsageError


def test_nan_and_infinity_are_null_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [1.5, float("nan")], "b": (float("inf"), {"c": -float("inf")}), "d": "λ"})
    said = capsys.readouterr().out
    assert json.loads(said) == {"a": [1.5, None], "b": [None, {"c": None}], "d": "λ"}
    assert "λ" in said


def test_without_a_terminal_yes_is_required() -> None:
    assert confirmed("Start over?", yes=True)
    with pytest.raises(UsageError, match=r"Start over\? No terminal is available to ask; add --yes"):
        confirmed("Start over?", yes=False)


def test_tables_are_not_wrapped_without_a_terminal() -> None:
    assert console().width == PLAIN_WIDTH


def test_the_storage_is_absolute_and_defaults_to_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CONVNN_STORAGE", str(tmp_path / "theirs"))
    assert storage_of(Path("mine")) == tmp_path / "mine"
    assert storage_of(None) == tmp_path / "theirs"
