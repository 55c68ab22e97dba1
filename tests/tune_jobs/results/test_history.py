import random
from pathlib import Path

import pytest
import yaml

from search_spaces import TrialConfig, parse_sweep
from tune_jobs.errors import UsageError
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import Epoch
from tune_jobs.results.history import curves, history

FILE = """
name: mine
space: {data: {name: digits}, model: {name: vgg11, layer: {kind: hybrid, lambda: 0.5, k: {choice: [4, 9]}}}}
evaluation: {protocol: holdout, fraction: 0.2}
"""


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    """A trial with two attempts; the second one resumed after epoch 1."""
    folder = SweepFolder(tmp_path / "mine")
    folder.path.mkdir()
    folder.spec.write_text(FILE)
    ledger = Ledger(folder.ledger, create=True)
    layer = {"kind": "hybrid", "lambda": 0.5, "k": 9}
    config = TrialConfig.model_validate({"data": {"name": "digits"}, "model": {"name": "vgg11", "layer": layer}})
    ledger.add_trial({}, config, "key")
    for attempt, epochs in ((1, (1, 2, 3)), (2, (2,))):
        assert ledger.start_attempt("key") == attempt
        for epoch in epochs:
            ledger.add_epoch("key", attempt, epoch, {"val/accuracy": attempt + epoch / 10})
        ledger.end_attempt("key", attempt, "interrupted", "the driver ended")
    ledger.close()
    return folder


@pytest.mark.parametrize("trial", ["1", "key"])
def test_a_trial_is_found_by_its_number_or_key_with_the_epochs_that_count(folder: SweepFolder, trial: str) -> None:
    found = history(folder, trial)
    assert [(epoch.epoch, epoch.attempt) for epoch in found.epochs] == [(1, 1), (2, 2), (3, 1)]
    assert [attempt.reason for attempt in found.attempts] == ["the driver ended"] * 2
    told = found.as_dict()
    assert [epoch["val/accuracy"] for epoch in told["epoch_metrics"]] == [1.1, 2.2, 1.3]
    assert told["config"]["model"]["layer"]["k"] == 9


def test_the_error_for_a_missing_trial_lists_the_existing_ones(folder: SweepFolder) -> None:
    with pytest.raises(
        UsageError, match=r"mine has no trial '2'; its only trial is 1\. To list them: convnn show mine"
    ):
        history(folder, "2")


def test_a_trial_becomes_a_sweep_file_of_one_configuration(folder: SweepFolder) -> None:
    found = history(folder, "1")
    spec = parse_sweep(found.sweep_file())
    assert (spec.name, spec.evaluation.fraction) == ("mine-trial-1", 0.2)  # type: ignore[union-attr]
    (point,) = spec.space.points()
    assert point == {}
    assert yaml.safe_load(found.sweep_file())["space"]["model"]["layer"]["k"] == 9


def test_the_order_in_which_epochs_were_recorded_does_not_matter() -> None:
    did = {1: [1, 2, 3], 2: [2], 3: [2, 4]}
    epochs = [Epoch(0, "a", attempt, epoch, 0.0, {}) for attempt, own in did.items() for epoch in own]
    random.Random(0).shuffle(epochs)
    assert [(epoch.epoch, epoch.attempt) for epoch in curves(epochs)["a"]] == [(1, 1), (2, 3), (3, 1), (4, 3)]
