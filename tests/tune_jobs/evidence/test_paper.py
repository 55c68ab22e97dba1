"""Which trials of a sweep are compared with which published runs, at which epoch, and which are not."""

import math
from collections.abc import Callable, Sequence

import pytest

from search_spaces import TrialConfig
from tests.tune_jobs.evidence.made import configs, sweep, trial, with_training
from tune_jobs.errors import UsageError
from tune_jobs.evidence.paper import Row, against_paper, baseline
from tune_jobs.evidence.trials import OurTrial
from tune_jobs.results.recorded.matching import Runs
from tune_jobs.results.recorded.published import published

CONV2D = "space.model.layer={kind: conv2d}"


@pytest.fixture(scope="module")
def runs() -> Runs:
    return Runs(published())


def only(runs: Runs, trials: Sequence[OurTrial], **options: float) -> Row:
    (row,) = against_paper(sweep(trials), runs, **options).rows  # type: ignore[arg-type]
    return row


def test_every_row_of_table_1_has_its_printed_number(runs: Runs) -> None:
    trials = [trial(runs, n, config, 150) for n, config in enumerate(configs("table1-cifar10"), 1)]
    found = against_paper(sweep(trials, name="any name"), runs)
    assert (len(found.rows), found.not_comparable, found.left_out) == (17, [], [])
    assert not found.count("different")
    base = found.rows[0]
    tables = {place.item.partition(",")[0]: place.accuracy for place in base.printed if place.kind == "row"}
    assert tables == {"Table 1": 80.65, "Table 3": 80.65, "Table 4": 80.65}
    assert base.theirs.n == 7
    assert [base.theirs.mean, base.theirs.sd] == pytest.approx([0.8059, 0.0062], abs=5e-5)
    assert all(any(place.kind == "row" for place in row.printed) for row in found.rows)
    assert found.rows[-1].varying["lambda"] == 1
    assert found.rows[-1].printed[0].accuracy == 57.15


def test_several_seeds_are_one_row_and_narrow_its_interval(runs: Runs) -> None:
    config = configs("table1-cifar10", CONV2D)[0]
    one = only(runs, [trial(runs, 1, config, 150)])
    several = [with_training(config, seed=seed) for seed in (1, 2, 3)]
    three = only(runs, [trial(runs, n, each, 150, shift=n / 1000) for n, each in enumerate(several)])
    assert (three.ours.n, three.trials) == (3, [0, 1, 2])
    assert three.ours.sd == pytest.approx(0.001)
    assert (one.ours.n, one.ours.sd) == (1, None)
    assert three.difference.resolves < one.difference.resolves


def test_a_sweep_that_was_stopped_is_compared_at_its_epoch(runs: Runs) -> None:
    config = configs("table1-cifar10", CONV2D)[0]
    (match,) = against_paper(sweep([trial(runs, 1, config, 7, "interrupted")]), runs).matches
    row = only(runs, [trial(runs, 1, config, 7, "interrupted")])
    assert (row.epoch, row.last_epoch) == (7, 150)
    assert row.theirs.mean == pytest.approx(runs.table.curves["test/accuracy"][match.runs, 6].mean())
    assert row.theirs.n == 13  # including the runs of 100 epochs


def test_fewer_epochs_are_the_same_configuration_unless_the_learning_rate_decays(runs: Runs) -> None:
    config = configs("table1-cifar10", CONV2D)[0]
    assert only(runs, [trial(runs, 1, with_training(config, epochs=3), 3)]).epoch == 3
    found = against_paper(sweep([trial(runs, 1, with_training(config, epochs=3, schedule="cosine"), 3)]), runs)
    assert found.rows == []
    assert [(each.trials, each.why) for each in found.not_comparable] == [
        ([1], "training.schedule cosine (theirs constant)")
    ]


def test_longer_trials_are_compared_at_the_last_published_epoch(runs: Runs) -> None:
    config = configs("figure4-cifar10")[-1]
    long = trial(runs, 1, with_training(config, epochs=120), 100)
    more = {name: {**curve, **dict.fromkeys(range(101, 121), 0.5)} for name, curve in long.curves.items()}
    row = only(runs, [OurTrial(1, long.config, "complete", more)])
    assert (row.epoch, row.last_epoch) == (100, 100)
    assert row.ours.mean != 0.5


def smaller(config: TrialConfig) -> TrialConfig:
    return config.model_copy(update={"model": config.model.model_copy(update={"width": 0.25})})


def fewer_images(config: TrialConfig) -> TrialConfig:
    return config.model_copy(update={"data": config.data.model_copy(update={"limit": 500})})


@pytest.mark.parametrize(("shrunk", "field"), [(smaller, "model.width 0.25"), (fewer_images, "data.limit 500")])
def test_a_smaller_model_or_fewer_images_are_never_judged(
    runs: Runs, shrunk: Callable[[TrialConfig], TrialConfig], field: str
) -> None:
    found = against_paper(sweep([trial(runs, 4, shrunk(configs("table1-cifar10", CONV2D)[0]), 150)]), runs)
    assert found.rows == []
    (told,) = found.not_comparable
    assert told.trials == [4]
    assert told.why.startswith("other sizes of model or data are never compared with the paper:")
    assert field in told.why


def test_a_hold_out_sweep_is_refused_with_the_way_out(runs: Runs) -> None:
    with pytest.raises(UsageError, match=r"--set 'evaluation={protocol: paper}' --set name=ours-paper"):
        against_paper(sweep([], protocol="holdout"), runs)
    with pytest.raises(UsageError, match="test/accuracy or test/loss"):
        against_paper(sweep([]), runs, "val/accuracy")


def test_stopped_seeds_count_and_trials_without_a_result_are_listed(runs: Runs) -> None:
    config = configs("table1-cifar10", CONV2D)[0]
    ways = [(150, "complete"), (10, "stopped"), (3, "running"), (0, "waiting"), (5, "failed"), (150, "excluded")]
    trials = [trial(runs, n, with_training(config, seed=n), epochs, state) for n, (epochs, state) in enumerate(ways, 1)]
    found = against_paper(sweep(trials), runs)
    (row,) = found.rows
    assert (row.trials, row.epoch) == ([1, 2], 10)  # using only the complete one would select the luckier one
    assert [(each.trial, each.why) for each in found.left_out] == [
        (3, "unfinished, and others of its configuration have ended"),
        (4, "no epoch yet"),
        (5, "failed"),
        (6, "excluded"),
    ]


def test_a_seed_that_was_tried_several_times_is_one_run(runs: Runs) -> None:
    config = configs("table1-cifar10", CONV2D)[0]
    trials = [trial(runs, n, with_training(config, epochs=epochs), epochs) for n, epochs in enumerate((3, 150), 1)]
    found = against_paper(sweep(trials), runs)
    (row,) = found.rows
    assert (row.trials, row.ours.n, row.epoch) == ([2], 1, 150)
    assert [(each.trial, each.why) for each in found.left_out] == [(1, "the same configuration and seed as trial 2")]


def test_nan_values_end_a_curve(runs: Runs) -> None:
    config = configs("table1-cifar10", CONV2D)[0]
    whole = trial(runs, 1, config, 20, "interrupted")
    broken = {name: {**curve, 12: math.nan} for name, curve in whole.curves.items()}
    assert only(runs, [OurTrial(1, config, "interrupted", broken)]).epoch == 11


def test_known_bugs_of_the_published_code_and_other_precisions_are_noted(runs: Runs) -> None:
    found = against_paper(
        sweep([trial(runs, n, config, 150) for n, config in enumerate(configs("table2-cifar10"))]), runs
    )
    noted = {row.label: row.notes for row in found.rows if row.notes}
    assert [label.partition(",")[0] for label in noted] == ["local", "sparse", "convnn", "convnn"]
    config = with_training(configs("table2-cifar10")[0], precision="bf16")
    assert only(runs, [trial(runs, 1, config, 150)]).notes == [
        "ours was trained in bf16, theirs in fp32 with TF32 convolutions"
    ]


def test_the_margin_is_the_papers_difference_but_at_least_one_point(runs: Runs) -> None:
    trials = [trial(runs, n, config, 150) for n, config in enumerate(configs("table1-cifar100"))]
    rows = {row.label: row for row in against_paper(sweep(trials), runs).rows}
    assert (rows["lambda 0"].margin, rows["lambda 0"].margin_of) == (0.01, "fixed")
    best = rows["lambda 0.625, position none"]
    assert best.margin == pytest.approx(0.4975 - 0.4481, abs=1e-4)
    assert best.margin_of == "their difference to Conv2D"
    assert {row.margin for row in against_paper(sweep(trials), runs, margin=0.02).rows} == {0.02}


def test_rows_of_a_figure_with_best_epochs_have_these_besides_the_last_epoch(runs: Runs) -> None:
    trials = [trial(runs, n, config, 20, "interrupted") for n, config in enumerate(configs("figure8-cifar10"))]
    found = against_paper(sweep(trials), runs)
    curve = runs.table.curves["test/accuracy"]
    for row, match in zip(found.rows, found.matches, strict=True):
        assert row.best_epochs, row.label
        best = row.best_epochs[0]
        assert best.theirs == pytest.approx(max(curve[n, :20].max() for n in match.runs), abs=0.02)
        assert best.drawn > best.theirs
        assert "Figure 8" in {item for each in row.best_epochs for item in each.items}


def test_losses_are_compared_unchanged(runs: Runs) -> None:
    trials = [trial(runs, 1, configs("table1-cifar10", CONV2D)[0], 150)]
    (row,) = against_paper(sweep(trials), runs, "test/loss").rows
    assert row.theirs.mean == pytest.approx(1.438, abs=2e-3)
    assert (row.difference.batch_mean_sd, row.margin, row.best_epochs) == (0.0, 0.1, [])


def test_layers_by_depth_have_no_published_counterpart_and_the_reason_is_short(runs: Runs) -> None:
    trials = [trial(runs, n, config, 150) for n, config in enumerate(configs("table1-cifar10")[:1], 1)]
    layers = {"conv1-conv2": {"kind": "conv2d"}, "conv3-conv8": {"kind": "hybrid", "lambda": 0.5}}
    model = {"name": "vgg11", "layers": layers}
    config = trials[0].config.model_copy(update={"model": TrialConfig.model_validate({"model": model}).model})
    assert runs.why_none(config) == "model.layers by depth"
    assert (
        baseline(config).model
        == TrialConfig.model_validate({"model": {"name": "vgg11", "layer": {"kind": "conv2d"}}}).model
    )
