"""The paper's figures with a sweep on top: what they show, and where."""

from typing import Any

import pytest

from tests.tune_jobs.evidence.made import configs, sweep, trial
from tune_jobs.evidence.paper import against_paper
from tune_jobs.evidence.redrawn import plots_of
from tune_jobs.report.plots import Plot
from tune_jobs.results.recorded.matching import Runs
from tune_jobs.results.recorded.published import published


@pytest.fixture(scope="module")
def runs() -> Runs:
    return Runs(published())


def drawn(runs: Runs, preset: str, epochs: int, *, first: int | None = None, shift: float = 0.0) -> dict[str, Plot]:
    state = "complete" if epochs >= 100 else "interrupted"
    trials = [trial(runs, n, c, epochs, state, shift=shift) for n, c in enumerate(configs(preset)[:first])]
    return {plot.title: plot for plot in plots_of(against_paper(sweep(trials), runs), runs)}


def series(plot: Plot) -> dict[str, Any]:
    assert plot.figure is not None
    return {each.name: each for each in plot.figure.data}


@pytest.mark.parametrize(
    ("preset", "title"),
    [
        ("table1-cifar10", "Table 1, without positions, CIFAR-10"),
        ("table4-cifar100", "Table 4, CIFAR-100"),
        ("figure3-cifar10", "Figure 3, CIFAR-10: test loss"),
        ("figure4-cifar100", "Figure 4, CIFAR-100"),
        ("figure5-cifar10", "Figure 5, CIFAR-10"),
        ("figure6-cifar10", "Figure 6, CIFAR-10: training loss"),
        ("figure7-cifar10", "Figure 7, CIFAR-10"),
        ("figure8-cifar100", "Figure 8, CIFAR-100"),
        ("figure10-cifar10", "Figure 10, CIFAR-10: test loss"),
    ],
)
def test_the_sweep_of_a_preset_appears_in_its_figure(runs: Runs, preset: str, title: str) -> None:
    found = drawn(runs, preset, 100)
    assert title in found
    names = series(found[title])
    assert any(name.startswith("theirs") for name in names)
    assert any(name.startswith("ours") for name in names) or "training" in title  # these sweeps have no training loss


def test_the_points_of_a_line_are_best_epochs_with_ours_above_theirs_by_the_shift(runs: Runs) -> None:
    found = series(drawn(runs, "figure8-cifar10", 150, shift=0.01)["Figure 8, CIFAR-10"])
    ours, theirs = found["ours: random"], found["theirs: random"]
    assert list(theirs.x) == [16, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192] == list(ours.x)
    assert list(ours.y) == pytest.approx([value + 0.01 for value in theirs.y])
    assert theirs.y[3] == pytest.approx(0.7970, abs=0.01)
    assert found["theirs: Attention"].line.dash == "dash"


def test_a_stopped_sweep_is_shown_at_its_epoch_with_a_note(runs: Runs) -> None:
    plot = drawn(runs, "figure8-cifar10", 12)["Figure 8, CIFAR-10"]
    assert plot.note.endswith("All at epoch 12; the paper shows epoch 150.")
    assert max(series(plot)["theirs: random"].y) < 0.7


def test_a_few_trials_appear_only_in_the_figure_that_they_belong_to(runs: Runs) -> None:
    found = drawn(runs, "figure5-cifar10", 150, first=6)
    assert "Figure 5, CIFAR-10" in found
    assert not [title for title in found if title.startswith(("Figure 10", "Table 3"))]
    assert set(series(found["Figure 5, CIFAR-10"])) >= {"ours: Conv2D", "theirs: spatial (Branching lambda=0.5)"}


def test_every_row_has_its_difference_and_interval(runs: Runs) -> None:
    plot = drawn(runs, "table5-cifar10", 150, shift=0.05)["Ours minus theirs"]
    (points,) = series(plot).values()
    assert points.name == "different"
    assert min(points.x) > 3
    assert len(points.y) == 4


def test_a_note_says_if_nothing_can_be_compared(runs: Runs) -> None:
    (plot,) = plots_of(against_paper(sweep([]), runs), runs)
    assert (plot.figure, plot.note) == (None, "No trial of the sweep can be compared with a published run.")
