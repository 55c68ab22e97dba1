import json
from pathlib import Path

from tests.tune_jobs.program import convnn


def test_validate_says_what_would_be_searched(tmp_path: Path) -> None:
    said = convnn("validate", "quickstart", storage=tmp_path)
    assert said.startswith("quickstart: valid. 9 trials of a continuous space by tpe, stopping: asha\n")
    assert "  model.layer.lambda: one of 0.125, 0.25, 0.5\n" in said
    assert "  training.lr: 0.0005 to 0.003, logarithmic\n" in said


def test_validate_tells_programs_every_mistake_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("name: bad\nspace:\n  model: {layer: {kind: conv2d}}\n  trainig: {lr: -1}\n")
    said = convnn("validate", tmp_path / "bad.yaml", "--json", storage=tmp_path, expect=2)
    answer = json.loads(said)
    assert answer["valid"] is False
    (problem,) = answer["problems"]
    assert (problem["line"], problem["column"], problem["path"]) == (4, 3, "space.trainig")
    assert "did you mean 'training'?" in problem["message"]
