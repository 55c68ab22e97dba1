from pathlib import Path

import pytest

from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tests.tune_jobs.shipping import Recorded


@pytest.fixture
def storage(sweep: Recorded) -> Path:
    sweep.attempt([1, 2], "failed", "the process died", "lost_worker")
    sweep.ledger.reopen(["a"])
    second = sweep.attempt()
    sweep.ledger.set_origin("a", second, 2, "checkpoint-00003.pt is damaged", "cpu")
    sweep.epochs(second, [3, 4, 5])
    sweep.ledger.end_attempt("a", second, "complete")
    sweep.attempt([1], trial="b")
    return sweep.folder.path.parent


def test_a_sweep_is_shown_as_its_leaderboard(storage: Path) -> None:
    said = invoke("show", "tracked", storage=storage)
    assert said.startswith("tracked: 1 trial ended   1 running, 1 complete   unfinished\n")
    assert f"\n{storage / 'tracked'}\n" in said
    told = invoke_json("show", "tracked", storage=storage)
    assert [(row["trial"], row["state"]) for row in told["trials"]] == [(1, "complete"), (2, "running")]
    assert told["folder"] == str(storage / "tracked")


def test_a_trial_is_shown_with_its_attempts_and_each_epoch_of_the_last_attempt_that_ran_it(storage: Path) -> None:
    said = invoke("show", "tracked", 1, storage=storage)
    assert said.startswith("trial 1, a: complete\n  attempt 1: failed (lost_worker, the process died), 0 s\n")
    assert "  attempt 2 from epoch 2: complete, 0 s\n" in said
    assert "\n    checkpoint-00003.pt is damaged\n" in said
    told = invoke_json("show", "tracked", "a", storage=storage)
    assert [epoch["epoch"] for epoch in told["epoch_metrics"]] == [1, 2, 3, 4, 5]
    assert [attempt["state"] for attempt in told["attempts"]] == ["failed", "complete"]


def test_a_trials_configuration_is_a_valid_file(storage: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text(invoke("show", "tracked", 1, "--yaml", storage=storage))
    assert invoke_json("validate", file, storage=storage)["points"] == 1
    assert "--yaml prints the configuration of one trial" in invoke(
        "show", "tracked", "--yaml", storage=storage, expect=2
    )


def test_an_unknown_trial_is_refused_with_the_known_ones(storage: Path) -> None:
    said = invoke("show", "tracked", 3, storage=storage, expect=2)
    assert "tracked has no trial '3'; its trials are 1 to 2" in said
