import json
import re
from pathlib import Path

from tests.tune_jobs.program import convnn


def test_validate_shows_the_search(tmp_path: Path) -> None:
    said = convnn("validate", "quickstart", storage=tmp_path)
    assert said.startswith("quickstart: valid. 9 trials of a continuous space by tpe, stopping: asha\n")
    assert "  model.layer.lambda: one of 0.125, 0.25, 0.5\n" in said
    assert "  training.lr: 0.0005 to 0.003, logarithmic\n" in said


def test_validate_json_has_every_mistake_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("name: bad\nspace:\n  model: {layer: {kind: conv2d}}\n  trainig: {lr: -1}\n")
    said = convnn("validate", tmp_path / "bad.yaml", "--json", storage=tmp_path, expect=2)
    answer = json.loads(said)
    assert answer["valid"] is False
    (problem,) = answer["problems"]
    assert (problem["line"], problem["column"], problem["path"]) == (4, 3, "space.trainig")
    assert "did you mean 'training'?" in problem["message"]


SPACE = """
name: mine
space: {model: {layer: {kind: convnn, padding: 0, k: {int: [1, 12]}}}, training: {epochs: {choice: [1, 2]}}}
search: {sampler: random, trials: 1}
"""


def test_validate_shows_how_much_of_a_space_is_infeasible_and_why(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(SPACE)
    said = convnn("validate", tmp_path / "mine.yaml", storage=tmp_path)
    assert said.startswith("mine: valid. 1 trial of 24 configurations by random")
    reason = "model.layer.k must be at most 4 for conv7 (2 x 2 tokens, ring 0: 4 candidates)"
    assert (
        f"  16 of 24 configurations (67%) are infeasible and never started; the most frequent reason (16): {reason}"
        in said
    )
    told = json.loads(convnn("validate", tmp_path / "mine.yaml", "--json", storage=tmp_path))
    assert (told["looked_at"], told["infeasible"]) == (24, {reason: 16})


def test_validate_checks_a_sample_of_a_large_space(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(SPACE.replace("{choice: [1, 2]}", "{int: [1, 1000]}"))
    said = convnn("validate", tmp_path / "mine.yaml", storage=tmp_path)
    assert re.search(r"\n  1\d\d of 200 sampled configurations \(\d\d%\) are infeasible", said)


def test_validate_warns_about_a_rule_that_lost_on_recorded_runs(tmp_path: Path) -> None:
    halving = ("--set", "stopping={kind: asha, grace_epochs: 10, reduction_factor: 3}")
    said = convnn("validate", "vit-convnn", *halving, storage=tmp_path)
    assert "\n  warning: stopping: {kind: asha, grace_epochs: 10, reduction_factor: 3} costs more than it saves" in said
    (told,) = json.loads(convnn("validate", "vit-convnn", *halving, "--json", storage=tmp_path))["warnings"]
    assert f"  warning: {told}\n" in said
    assert json.loads(convnn("validate", "quickstart", "--json", storage=tmp_path))["warnings"] == []


def test_validate_does_not_mention_infeasible_configurations_if_there_are_none(tmp_path: Path) -> None:
    assert "infeasible" not in convnn("validate", "quickstart", storage=tmp_path)
