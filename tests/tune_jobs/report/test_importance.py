import math
import random

from tests.tune_jobs.report.drawn import Sweep, words


def test_what_decides_is_the_most_important(sweep: Sweep) -> None:
    for _ in range(60):
        sweep.trial([1 - abs(math.log10(sweep.next_lr()) + 3) / 3] * 3, "stopped")
    (bars,) = sweep.figures()["importance"]["data"]
    assert bars["y"][-1] == "lr"
    assert bars["x"][-1] > 0.5
    assert "what set the best 6 of 60 trials apart" in words(sweep.page())


def test_what_makes_trials_diverge_is_important_too(sweep: Sweep) -> None:
    for number in range(60):
        if sweep.next_lr() > 1e-4:
            sweep.trial([0.1, math.nan], "diverged", "loss is nan in epoch 2", "diverged")
        else:
            sweep.trial([random.Random(number).random()] * 9, "complete")
    (bars,) = sweep.figures()["importance"]["data"]
    assert bars["y"][-1] == "lr"
    assert bars["x"][-1] > 0.5


def test_where_all_came_to_the_same_no_parameter_made_a_difference(sweep: Sweep) -> None:
    for _ in range(30):
        sweep.trial([0.1] * 9, "complete")
    assert "importance" not in sweep.figures()
    assert "All 30 trials came to the same value, so no parameter made a difference." in words(sweep.page())


def test_of_few_trials_importance_is_not_said(sweep: Sweep) -> None:
    for _ in range(19):
        sweep.trial([0.5] * 9, "complete")
    assert "This needs 20 trials that can be compared, and there are 19: it would be mostly chance." in words(
        sweep.page()
    )
