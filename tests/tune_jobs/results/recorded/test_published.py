import numpy as np
import pyarrow.parquet as pq
import pytest

from search_spaces.feasibility import infeasibilities
from tune_jobs.errors import UsageError
from tune_jobs.results.recorded.published import PUBLISHED, published


def test_the_authors_runs_are_small_licensed_and_whole() -> None:
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


def test_every_run_is_a_configuration_that_can_run_or_says_why_it_is_none() -> None:
    table = published()
    none = [run.why_none for run in table.runs if run.config is None]
    assert {why: none.count(why) for why in none} == {
        "layer Branching_Attn is none of ours": 30,
        "layer BranchAttention is none of ours": 12,
        "3 heads: theirs mix tokens and channels": 8,
        "layer SparseAttention strided is none of ours": 2,
    }
    configs = [run.config for run in table.runs if run.config is not None]
    assert not [reason for config in configs for reason in infeasibilities(config)]


def test_runs_are_found_by_the_words_of_a_sweep_file() -> None:
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
    with pytest.raises(UsageError, match="no run has that value; there are: vgg11, vit_tiny"):
        table.where(["model.name=VIT"])
