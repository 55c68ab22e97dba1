from typing import Any

import pytest

from tests.tune_jobs.report.drawn import Sweep, words
from tune_jobs.record.meta import Goal
from tune_jobs.report import comparisons


def test_trials_that_did_not_run_to_the_end_come_last_in_parallel_coordinates(sweep: Sweep) -> None:
    sweep.trial([0.4] * 9, "complete")
    sweep.trial([0.3] * 9, "complete")
    assert "epoch" not in {axis["label"] for axis in parallel(sweep)["dimensions"]}
    sweep.trial([0.9], "stopped")
    drawn = parallel(sweep)
    axes = {axis["label"]: axis["values"] for axis in drawn["dimensions"]}
    warmth = dict(zip(axes["val/accuracy"], drawn["line"]["color"], strict=True))
    assert warmth[0.9] < warmth[0.3] < warmth[0.4]
    assert axes["epoch"] == [1, 9, 9]
    assert "1 did not run to the end" in words(sweep.page())
    assert "1 hollow ones did not" in words(sweep.page())


def parallel(sweep: Sweep) -> dict[str, Any]:
    (drawn,) = sweep.figures()["parallel-coordinates"]["data"]
    found: dict[str, Any] = drawn
    return found


def test_a_parameter_that_some_trials_lack_is_none_on_its_axis(sweep: Sweep) -> None:
    for number in range(40):
        sweep.trial([number / 40], "complete")
    figures = sweep.figures()
    axes = {axis["label"]: axis for axis in figures["parallel-coordinates"]["data"][0]["dimensions"]}
    assert {"lambda", "k", "r", "p", "aggregation", "lr", "kind", "candidates", "val/accuracy"} == axes.keys()
    assert axes["k"]["ticktext"] == ["", "none", "4", "9", " "]  # it is drawn to its ends, which have no text
    assert axes["r"]["ticktext"][1] == "none"
    assert axes["r"]["tickvals"][1] < min(value for value in axes["r"]["tickvals"][2:])
    assert figures["slice-k"]["layout"]["xaxis"]["ticktext"] == ["none", "4", "9"]


@pytest.mark.parametrize(
    ("goal", "front"), [("maximize", ([1, 2, 4], [0.5, 0.7, 0.9])), ("minimize", ([1, 3], [0.5, 0.4]))]
)
def test_the_pareto_front_has_the_trials_that_none_beats(sweep: Sweep, goal: Goal, front: Any) -> None:
    sweep.ledger.meta.goal = goal
    for value, gflops in ((0.5, 1.0), (0.7, 2.0), (0.4, 3.0), (0.9, 4.0)):
        sweep.trial([value], "complete", params=7.0, gflops=gflops)
    sweep.trial([0.99], "stopped", params=7.0, gflops=0.1)
    drawn = next(line for line in sweep.figures()["pareto"]["data"] if line["name"] == "Pareto front")
    assert (drawn["x"], drawn["y"]) == front


def test_no_plot_of_points_has_more_than_a_browser_can_show(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparisons, "POINTS", 4)
    for value in range(1, 10):
        sweep.trial([value / 10], "complete", size={"params": 1.0, "gflops": value / 10})
    figures = sweep.figures()
    assert sorted(figures["slice-lr"]["data"][0]["y"])[::3] == [0.1, 0.9]
    assert len(figures["pareto"]["data"][0]["y"]) == 4
    assert words(sweep.page()).count("Drawn are 4 of the 9 trials, from all ranks.") == 2
