import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tune_jobs.report.drawn import Sweep, made
from tune_jobs.errors import LedgerError
from tune_jobs.record.epochs import EpochTable, metrics_of
from tune_jobs.record.rows import Epoch
from tune_jobs.results.history import curves


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Sweep]:
    with made(tmp_path) as found:
        yield found


names, numbers = st.text(), st.floats() | st.integers(-(2**60), 2**60)


@given(st.dictionaries(names, numbers))
def test_numbers_are_read_as_they_were_written(metrics: dict[str, float]) -> None:
    text = json.dumps(metrics)
    assert json.dumps(metrics_of(text)) == text


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(0, 5)), unique=True))
def test_the_same_epochs_count_in_a_table_as_one_by_one(rows: list[tuple[int, int, int]]) -> None:
    trial, attempt, epoch = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    found = EpochTable("abcd", trial, attempt, epoch, {})
    one_by_one = curves(Epoch(seq, "abcd"[at], tried, then, 0.0, {}) for seq, (at, tried, then) in enumerate(rows))
    assert found.counting().tolist() == [each.seq for key in sorted(one_by_one) for each in one_by_one[key]]


def test_a_table_has_the_metrics_of_its_trials_and_nan_for_missing_ones(sweep: Sweep) -> None:
    sweep.trial([0.1, math.inf], "complete", size={"gflops": 2.0})
    sweep.trial([0.3], "complete")
    first, second = sweep.ledger.trials()
    table = sweep.ledger.epoch_table([second.run_key, first.run_key], ["val/accuracy", "gflops"])
    assert (table.trial.tolist(), table.epoch.tolist()) == ([1, 1, 0], [1, 2, 1])
    assert table.metrics["val/accuracy"].tolist() == [0.1, math.inf, 0.3]
    np.testing.assert_equal(table.metrics["gflops"], [2.0, math.nan, math.nan])
    assert len(sweep.ledger.epoch_table([first.run_key], [])) == 2


@pytest.mark.parametrize("text", ["{", '{"val/accuracy": "high"}', "[1]"])
def test_a_damaged_epoch_is_a_ledger_error(sweep: Sweep, text: str) -> None:
    sweep.trial([0.1], "complete")
    sweep.ledger._db.execute("UPDATE epochs SET metrics = ?", (text,))
    with pytest.raises(LedgerError, match="cannot be read"):
        sweep.ledger.epoch_table([sweep.ledger.trials()[0].run_key], ["val/accuracy"])
