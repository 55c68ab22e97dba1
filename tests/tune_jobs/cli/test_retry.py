from pathlib import Path

from tests.tune_jobs.cli.invoking import invoke


def test_which_trials_must_be_said(tmp_path: Path) -> None:
    assert "say which trials: --failed" in invoke("retry", "mine", storage=tmp_path, expect=2)


def test_a_class_of_failure_must_be_one(tmp_path: Path) -> None:
    said = invoke("retry", "mine", "--class", "lost_worke", storage=tmp_path, expect=2)
    assert "--class must be a class of failure, got 'lost_worke'; did you mean 'lost_worker'?" in said
