from pathlib import Path

from tests.tune_jobs.program import convnn, convnn_json


def test_a_printed_preset_is_a_valid_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(convnn("presets", "show", "quickstart", storage=tmp_path))
    assert convnn_json("validate", file, storage=tmp_path) == convnn_json("validate", "quickstart", storage=tmp_path)
