import pytest

from tests.tune_jobs.cli.invoking import invoke
from tests.tune_jobs.shipping import Recorded

SPACE = "name: tracked\nspace: {model: {name: vgg11, layer: {kind: conv2d}}, training: {lr: {uniform: [0.1, 0.2]}}}\n"


def test_new_trials_are_counted_from_those_that_have_run_if_the_file_has_fewer(sweep: Recorded) -> None:
    sweep.folder.spec.write_text(f"{SPACE}search: {{sampler: random, trials: 2}}\n")
    for trial in "abc":
        sweep.attempt([1, 2, 3, 4, 5], "complete", trial=trial)
    said = invoke("extend", "tracked", "--trials", 3, storage=sweep.folder.path.parent, expect=2)
    assert "--trials must be more than the 3 trials of tracked, got 3; write +20 for 20 more" in said


@pytest.mark.parametrize(
    ("trials", "said"),
    [
        ("many", "--trials must be a number, as in +20 (more) or 24 (total), got 'many'"),
        ("4", "--trials must be more than the 4 trials of tracked, got 4; write +20 for 20 more"),
    ],
)
def test_trials_must_be_a_number_above_the_current_one(sweep: Recorded, trials: str, said: str) -> None:
    sweep.folder.spec.write_text(f"{SPACE}search: {{sampler: random, trials: 4}}\n")
    assert said in invoke("extend", "tracked", "--trials", trials, storage=sweep.folder.path.parent, expect=2)
