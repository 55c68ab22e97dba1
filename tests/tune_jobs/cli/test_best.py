from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tests.tune_jobs.shipping import Recorded, value


def test_the_best_trials_are_shown_with_the_configuration_of_the_best_one(sweep: Recorded) -> None:
    storage = sweep.folder.path.parent
    for trial, last in (("a", 3), ("b", 5), ("c", 4)):
        sweep.attempt(range(1, last + 1), "complete", trial=trial)
    sweep.attempt([1], "diverged", "the loss is nan", "diverged", trial="d")
    told = invoke_json("best", "tracked", "--top", 9, storage=storage)
    assert [(row["trial"], row["value"]) for row in told["trials"]] == [
        (2, value(1, 5)),
        (3, value(1, 4)),
        (1, value(1, 3)),
    ]
    assert told["trials"][0]["config"]["model"]["layer"]["lambda"] == 0.25
    said = invoke("best", "tracked", storage=storage)
    assert "15.00%" in said
    assert "14.00%" not in said
    assert said.endswith(invoke("best", "tracked", "--yaml", storage=storage))


def test_a_sweep_without_a_result_has_no_best_trial(sweep: Recorded) -> None:
    sweep.attempt()
    said = invoke("best", "tracked", storage=sweep.folder.path.parent, expect=2)
    assert "no trial of tracked has a result yet. To see its trials: convnn show tracked" in said
