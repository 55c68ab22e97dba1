import math

import pytest

from tests.tune_jobs.shipping import Recorded
from tune_jobs.errors import UsageError
from tune_jobs.results.recorded.sweeps import of_sweeps


def test_the_trials_that_ended_are_runs_and_the_others_are_counted(sweep: Recorded) -> None:
    sweep.attempt([1, 2], "complete")
    sweep.attempt([1], "diverged", "the loss became nan", "diverged", trial="b")
    sweep.ledger.add_epoch("b", 1, 2, {"val/accuracy": math.nan})
    sweep.attempt([1], "stopped", trial="c")
    sweep.attempt([1], "complete", trial="d")
    sweep.ledger.add_request("d", "exclude", "wrong images")
    table = of_sweeps([sweep.folder])
    assert [(run.id, run.diverged) for run in table.runs] == [("tracked/1", False), ("tracked/2", True)]
    assert table.dropped == {"stopped": 1, "excluded": 1}
    assert list(table.lengths) == [2, 2]
    assert all(run.config is not None for run in table.runs)
    assert "val/accuracy" in table.curves


def test_a_sweep_without_an_end_is_refused(sweep: Recorded) -> None:
    sweep.attempt([1])
    with pytest.raises(UsageError, match="no trial of tracked has ended"):
        of_sweeps([sweep.folder])
