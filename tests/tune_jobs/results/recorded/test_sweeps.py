import math
import shutil
from pathlib import Path

import pytest

from tests.tune_jobs.shipping import Recorded
from tune_jobs.errors import UsageError
from tune_jobs.record.folder import SweepFolder
from tune_jobs.results.recorded.sweeps import of_sweeps

FILE = "name: tracked\nspace: {model: {layer: {kind: conv2d, kernel_size: {choice: [1, 3]}}}}\n"


def test_complete_and_diverged_trials_are_runs_and_the_others_are_counted(sweep: Recorded) -> None:
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


def test_a_sweep_without_complete_trials_is_refused_with_its_states(sweep: Recorded) -> None:
    sweep.attempt([1])
    sweep.attempt([1], "stopped", trial="b")
    with pytest.raises(UsageError, match=r"no trial of tracked is complete or diverged \(1 running, 1 stopped\)"):
        of_sweeps([sweep.folder])


def test_a_note_says_that_stopped_trials_are_missing(sweep: Recorded) -> None:
    sweep.attempt([1, 2], "complete")
    assert of_sweeps([sweep.folder]).notes == []
    sweep.attempt([1], "stopped", trial="b")
    (note,) = of_sweeps([sweep.folder]).notes
    assert note.startswith("1 trial that a rule or a user stopped cannot be simulated to the end; the remaining trials")


def test_a_sweep_given_twice_counts_once(sweep: Recorded) -> None:
    sweep.attempt([1, 2], "complete")
    assert len(of_sweeps([sweep.folder, sweep.folder]).runs) == 1


def test_sweeps_evaluated_on_different_images_are_not_mixed(sweep: Recorded, tmp_path: Path) -> None:
    sweep.attempt([1, 2], "complete")
    sweep.folder.spec.write_text(FILE)
    other = SweepFolder(tmp_path / "other")
    shutil.copytree(sweep.folder.path, other.path)
    assert len(of_sweeps([sweep.folder, other]).runs) == 2
    other.spec.write_text(FILE + "evaluation: {protocol: holdout, fraction: 0.3}\n")
    with pytest.raises(UsageError, match="tracked and other must be evaluated on the same images to be compared"):
        of_sweeps([sweep.folder, other])
