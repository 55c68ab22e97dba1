from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest

from search_spaces.feasibility import infeasibilities
from tests.search_spaces.test_presets import ONLY_WITH_THEIR_BUG
from tune_jobs.errors import UsageError
from tune_jobs.results.recorded.published import PUBLISHED, deviation, printed, published, training_losses


def test_the_authors_runs_are_small_licensed_and_complete() -> None:
    table = published()
    assert PUBLISHED.stat().st_size <= 1.5e6
    assert b"MIT" in pq.read_schema(PUBLISHED).metadata[b"licence"]
    assert "Copyright (c) Mingi Kang" in PUBLISHED.with_suffix(".LICENSE").read_text()
    assert len(table.runs) == 1286
    assert set(table.lengths) == {100, 150}
    assert table.seconds is not None
    for curve in (*table.curves.values(), table.seconds):
        assert (np.isfinite(curve).sum(axis=1) == table.lengths).all()
    assert 0.008 < np.nanmin(table.curves["test/accuracy"]) < np.nanmax(table.curves["test/accuracy"]) < 0.9


def test_every_run_has_a_feasible_configuration_or_says_why_not() -> None:
    table = published()
    none = [run.why_none for run in table.runs if run.config is None]
    assert {why: none.count(why) for why in none} == {
        "layer Branching_Attn does not exist here": 30,
        "layer BranchAttention does not exist here": 12,
        "3 heads: theirs mix tokens and channels": 8,
        "layer SparseAttention strided does not exist here": 2,
    }
    configs = [run.config for run in table.runs if run.config is not None]
    assert not [reason for config in configs for reason in infeasibilities(config)]


def test_runs_are_found_by_the_names_in_a_sweep_file() -> None:
    table = published()
    vit = table.where(["model.name=vit_tiny", "data.name=cifar100"])
    assert len(table.where(["training.lr=1e-3"]).runs) == len(table.where(["training.lr=0.001"]).runs) > 0
    assert {run.config.model.name for run in vit.runs if run.config} == {"vit_tiny"}
    assert any(run.config is None for run in vit.runs)
    for run in table.runs:
        if run.config is not None:
            assert {"model.name": run.config.model.name, "training.seed": run.config.training.seed}.items() <= dict(
                run.params
            ).items()
    with pytest.raises(UsageError, match=r"got 'model=VIT'; did you mean model.name\?"):
        table.where(["model=VIT"])
    with pytest.raises(UsageError, match="no run has that value; use one of: vgg11, vit_tiny"):
        table.where(["model.name=VIT"])


@pytest.mark.parametrize(
    ("metric", "scale", "decimals", "slips"),
    [("test/accuracy", 100, 2, {80.97}), ("test/loss", 1, 3, {1.558})],
)
def test_tables_print_the_truncated_last_epoch_of_each_run(
    metric: str, scale: int, decimals: int, slips: set[float]
) -> None:
    table = published()
    number = {run.id: place for place, run in enumerate(table.runs)}
    cells = [(run, place) for run, places in printed().items() for place in places if place.kind == "row"]
    assert len(cells) == 88
    wrong = set()
    for run, place in cells:
        value = place.accuracy if metric == "test/accuracy" else place.loss
        assert value is not None
        last = scale * table.curves[metric][number[run], table.lengths[number[run]] - 1]
        step = 10**-decimals
        if not value - step / 10 <= last < value + 1.1 * step:  # losses in the file are rounded to four decimals
            wrong.add(value)
    assert wrong == slips  # printed values that differ from the authors' logs


def test_every_series_of_the_figures_exists_and_shown_losses_have_training_losses() -> None:
    places = [place for found in printed().values() for place in found if place.kind != "row"]
    counts = Counter(place.item for place in places)
    assert counts == {
        "Figure 3": 6,
        "Figure 4": 78,
        "Figure 5": 60,
        "Figure 6": 4,
        "Figure 7": 70,
        "Figure 8": 48,
        "Figure 10": 18,
    }
    curves = {run for run, found in printed().items() if any(place.kind == "curve" for place in found)}
    assert curves == set(training_losses())
    assert all(losses[0] > losses[-1] for losses in training_losses().values())


def test_the_rows_with_a_bug_of_the_published_code_match_the_presets() -> None:
    faults = {
        (place.item, place.row)
        for run in published().runs
        for place in printed()[run.id]
        if run.config is not None and deviation(run.config)
    }
    assert {f"{item.lower()}: {row}" for item, row in faults} == set(ONLY_WITH_THEIR_BUG)
