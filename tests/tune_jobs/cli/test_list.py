from pathlib import Path

from tests.tune_jobs.program import convnn, convnn_json


def test_an_empty_storage_names_the_first_command(tmp_path: Path) -> None:
    said = convnn("list", storage=tmp_path / "nothing here")
    assert "`convnn run quickstart` creates one" in said
    assert convnn_json("list", storage=tmp_path / "nothing here")["sweeps"] == []


def test_a_damaged_sweep_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "ledger.db").write_bytes(b"no database" * 1000)
    (listed,) = convnn_json("list", storage=tmp_path)["sweeps"]
    assert listed["name"] == "broken"
    assert "cannot be opened" in listed["error"]
    assert "unreadable" in convnn("list", storage=tmp_path)
