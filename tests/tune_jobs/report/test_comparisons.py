from typing import Any

import pytest

from tests.tune_jobs.report.drawn import Sweep, words


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
    said = words(sweep.page())
    assert "1 did not run to the end" in said
    assert "Hollow circles (1) are" in said


def parallel(sweep: Sweep) -> dict[str, Any]:
    (drawn,) = sweep.figures()["parallel-coordinates"]["data"]
    found: dict[str, Any] = drawn
    return found


def test_a_parameter_that_some_trials_lack_is_none_on_its_axis(sweep: Sweep) -> None:
    for number in range(40):
        sweep.trial([number / 40], "complete")
    figures = sweep.figures()
    axes = {axis["label"]: axis for axis in figures["parallel-coordinates"]["data"][0]["dimensions"]}
    assert {"lambda", "k", "r", "lr", "kind", "candidates", "val/accuracy"} == axes.keys()
    assert axes["k"]["ticktext"] == ["none", "4", "9"]
    assert axes["r"]["ticktext"][:2] == ["none", "16"]
    assert axes["r"]["ticktext"][-1] == "256"
    none, least = axes["r"]["tickvals"][:2]
    assert none < least == pytest.approx(axes["r"]["range"][0] + 0.12 * (256 - 16))
    assert figures["slice-k"]["layout"]["xaxis"]["ticktext"] == ["none", "4", "9"]


def test_the_best_tenth_is_selected_and_drawn_last(sweep: Sweep) -> None:
    for number in range(150):
        sweep.trial([number / 200], "complete")
    drawn = parallel(sweep)
    *_, axis = drawn["dimensions"]
    low, high = axis["constraintrange"]
    assert axis["values"] == sorted(axis["values"])
    assert [value for value in axis["values"] if low <= value <= high] == axis["values"][-15:]
    assert "tickvals" not in axis  # with custom ticks, ranges would snap to the ticks
    assert "The best 15 are selected" in words(sweep.page())


def test_few_lines_are_all_selected(sweep: Sweep) -> None:
    for number in range(10):
        sweep.trial([number / 20], "complete")
    assert not any("constraintrange" in axis for axis in parallel(sweep)["dimensions"])


def test_slices_show_complete_trials_and_the_others_only_on_request(sweep: Sweep) -> None:
    sweep.trial([0.9], "stopped")
    sweep.trial([0.3], "stopped")
    assert "visible" not in sweep.figures()["slice-lr"]["data"][0]  # there is nothing else
    sweep.trial([0.4] * 9, "complete")
    early, complete = sweep.figures()["slice-lr"]["data"]
    assert (early["visible"], early["marker"]["symbol"]) == ("legendonly", "circle-open")
    assert complete["y"] == [0.4]
    assert complete["text"][0].startswith("trial 3, ")


def test_a_slice_spans_the_declared_range(sweep: Sweep) -> None:
    for number in range(20):
        sweep.trial([number / 40], "complete")
    axis = sweep.figures()["slice-lr"]["layout"]["xaxis"]
    assert (axis["ticktext"][0], axis["ticktext"][-1]) == ("1e-05", "0.01")
    assert len(axis["ticktext"]) <= 6
    low, high = axis["range"]
    assert low < -5 < -2 < high
