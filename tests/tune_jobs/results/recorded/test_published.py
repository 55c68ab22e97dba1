import numpy as np
import pyarrow.parquet as pq

from search_spaces.feasibility import infeasibilities
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
