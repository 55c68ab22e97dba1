"""Really trained trials, replayed by the command."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import tarfile
from pathlib import Path

import pytest
import torch

from convnn.checkpoint import load_checkpoint, save_checkpoint
from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tests.tune_jobs.cli.shared.test_outputs import require_as_said
from tests.tune_jobs.evidence.trained import NAME, trained
from tests.tune_jobs.program import start
from tests.tune_jobs.record.test_begun_with_0_1_0 import HERE
from tune_jobs.errors import ExitCode
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    return trained(tmp_path_factory.mktemp("original"))


@pytest.fixture
def folder(original: SweepFolder, tmp_path: Path) -> SweepFolder:
    """A copy that the test may change."""
    shutil.copytree(original.path, tmp_path / NAME)
    return SweepFolder(tmp_path / NAME)


def run(folder: SweepFolder, *words: object, expect: int = 0) -> str:
    return invoke("replay", NAME, *words, storage=folder.path.parent, expect=expect)


def change(folder: SweepFolder, statement: str, *values: object) -> None:
    with contextlib.closing(sqlite3.connect(folder.ledger, isolation_level=None)) as db:
        db.execute(statement, values)


def scale(folder: SweepFolder, trial: int, epoch: int, metric: str, by: float) -> None:
    """Multiply a recorded value."""
    change(
        folder,
        "UPDATE epochs SET metrics = json_set(metrics, ?1, ?2 * json_extract(metrics, ?1)) "
        "WHERE epoch = ?3 AND run_key = (SELECT run_key FROM trials WHERE number = ?4)",
        f'$."{metric}"',
        by,
        epoch,
        trial,
    )


def files(folder: SweepFolder) -> dict[str, tuple[bytes, int]]:
    found = [path for path in folder.path.rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in found}


@pytest.mark.parametrize("trial", [1, 2])
def test_a_replay_is_equal_bit_for_bit_even_if_the_trial_was_killed_and_resumed(
    original: SweepFolder, trial: int
) -> None:
    before = files(original)
    said = run(original, trial)
    assert "should be equal bit for bit" in said
    assert [line.split()[-1] for line in said.splitlines() if line.startswith("epoch")] == ["equal"] * 3
    assert said.endswith("Equal bit for bit: 3 epochs, every loss and accuracy.\n")
    assert files(original) == before


def test_a_changed_value_is_found_with_its_epoch_and_metric(folder: SweepFolder) -> None:
    scale(folder, 1, 2, "val/loss", 1.5)
    scale(folder, 1, 3, "train/loss", 1.5)
    said = run(folder, 1, expect=ExitCode.DIFFERENT)
    assert "\nDifferent: epoch 2, val/loss: recorded 3." in said
    assert "The setup is the same as recorded" in said
    assert run(folder, 1, "--epochs", 1).endswith("Equal bit for bit: 1 epoch, every loss and accuracy.\n")
    told = json.loads(
        invoke("replay", NAME, 1, "--json", storage=folder.path.parent, expect=ExitCode.DIFFERENT, errors=False)
    )
    require_as_said("replay", told)
    assert [epoch["verdict"] for epoch in told["epochs"]] == ["equal", "different", "different"]
    assert (told["first_different"]["epoch"], told["first_different"]["metric"]) == (2, "val/loss")


def test_a_different_last_digit_is_accepted_only_if_a_known_fact_differs(folder: SweepFolder) -> None:
    scale(folder, 1, 3, "val/loss", 1 + 1e-12)
    said = run(folder, 1, expect=ExitCode.DIFFERENT)
    assert "Within tolerance (0.01): 3 epochs." in said
    assert "Not equal bit for bit from epoch 3, val/loss: recorded 2." in said
    assert "The setup is the same as recorded, so the numbers should be equal" in said
    change(folder, "UPDATE attempts SET environment = json_set(environment, '$.packages.torch', '2.14.1')")
    said = run(folder, 1)
    assert "Within tolerance (0.01): 3 epochs." in said
    assert "\nDifferences in the setup: torch: 2.14.1 in attempt 1, " in said
    run(folder, 1, "--tolerance", 0, expect=ExitCode.DIFFERENT)


def test_facts_that_an_earlier_version_did_not_record_are_assumed_except_packages_in_the_manifest(
    folder: SweepFolder,
) -> None:
    change(folder, "UPDATE attempts SET environment = NULL")
    said = run(folder, 2)
    assert "not recorded, assumed: threads (1), CPU model (" in said
    assert "Equal bit for bit" in said
    manifest = json.loads(folder.manifest.read_text())
    manifest["starts"][0]["packages"] |= {"convnn-sweeps": "0.1.0", "torch": "2.14.1"}
    folder.manifest.write_text(json.dumps(manifest))
    said = run(folder, 2, "--epochs", 1)
    assert "differs: torch: 2.14.1 in attempt 1, " in said
    assert "Numbers changed once" in said


def test_attempts_in_other_environments_are_listed_and_the_first_ones_threads_are_used(folder: SweepFolder) -> None:
    change(folder, "UPDATE attempts SET environment = json_set(environment, '$.threads', 2) WHERE attempt = 2")
    told = invoke_json("replay", NAME, 2, storage=folder.path.parent)
    assert told["threads"] == 1
    assert told["differences"] == [{"what": "threads", "recorded": "2", "here": "1", "attempts": [2]}]
    assert (told["verdict"], told["expected_equal"]) == ("equal", False)


def test_a_trial_of_a_gpu_is_replayed_on_the_cpu_within_tolerance(folder: SweepFolder) -> None:
    change(folder, "UPDATE attempts SET device = 'NVIDIA H200'")
    scale(folder, 1, 2, "train/loss", 1.001)
    said = run(folder, 1)
    assert "It was trained on a GPU (NVIDIA H200), and is replayed on the CPU" in said
    assert "Within tolerance" in said


def checkpointed(folder: SweepFolder) -> tuple[int, Path]:
    """Return the trial with a kept checkpoint, and the checkpoint."""
    with contextlib.closing(Ledger(folder.ledger)) as ledger:
        kept = {trial.number: folder.checkpoints(trial.run_key) for trial in ledger.trials()}
    return next((number, found[0]) for number, found in kept.items() if found)


def test_a_kept_checkpoint_gives_the_recorded_evaluation(original: SweepFolder) -> None:
    trial, checkpoint = checkpointed(original)
    before = files(original)
    said = run(original, trial, "--from-checkpoint")
    assert f"evaluating {checkpoint}" in said
    assert "epoch 3/3" in said
    assert said.endswith("Equal bit for bit: 1 epoch, every loss and accuracy.\n")
    assert files(original) == before
    other = 3 - trial
    assert f"trial {other} has no checkpoint" in run(original, other, "--from-checkpoint", expect=2)
    assert "--epochs and --from-checkpoint cannot be combined" in run(
        original, trial, "--from-checkpoint", "--epochs", 1, expect=2
    )


def test_a_checkpoint_with_other_weights_differs_and_a_damaged_one_is_an_error(folder: SweepFolder) -> None:
    trial, checkpoint = checkpointed(folder)
    content = load_checkpoint(checkpoint)
    for weight in filter(torch.is_floating_point, content["model"].values()):
        weight.mul_(3)
    save_checkpoint(content, checkpoint)
    said = run(folder, trial, "--from-checkpoint", expect=ExitCode.DIFFERENT)
    assert "\nDifferent: epoch 3, val/" in said
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1])
    said = run(folder, trial, "--from-checkpoint", expect=1)
    assert f"{checkpoint} is damaged or not a checkpoint" in said
    assert "convnn replay trained" in said
    assert checkpoint.exists()


def test_a_trial_that_cannot_be_replayed_is_refused_with_the_way_out(
    folder: SweepFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "has no trial '7'; its trials are 1 to 2" in run(folder, 7, expect=2)
    assert "there is no sweep 'trainde'" in invoke("replay", "trainde", 1, storage=tmp_path, expect=2)
    change(folder, "DELETE FROM epochs WHERE run_key = (SELECT run_key FROM trials WHERE number = 1)")
    assert "trial 1 of trained (complete) has no recorded epoch to compare" in run(folder, 1, expect=2)
    change(folder, "UPDATE meta SET value = 'abcdef' WHERE key = 'digest.digits.train'")
    said = run(folder, 2, expect=2)
    assert "the images of digits (train) in the default folder differ from those that trained was trained on" in said
    assert "was abcdef); give the folder of the original images: --data-root" in said
    monkeypatch.setenv("CONVNN_DATA_ROOT", str(tmp_path))
    change(folder, "UPDATE trials SET config = json_set(config, '$.data.name', 'cifar10')")
    said = run(folder, 2, expect=1)
    assert "cifar10, on which trained was trained, is not in the default folder" in said
    assert "--data-root" in said


def test_a_checkpoint_of_0_1_0_is_evaluated_with_a_note_on_other_numerics(tmp_path: Path) -> None:
    with tarfile.open(HERE / "half.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    words = ("replay", "begun-earlier", 5, "--from-checkpoint", "--tolerance", 0.1)  # one of 20 images may differ
    said = invoke(*words, storage=tmp_path)
    assert "epoch 3/3" in said
    assert "Numbers changed once" in said
    assert "convnn-sweeps: 0.1.0 in attempt 1" in said


def test_read_only_storage_is_enough(folder: SweepFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = (folder.path, folder.ledger)
    monkeypatch.setattr(os, "access", lambda path, mode: not (mode == os.W_OK and Path(path) in inside))
    before = files(folder)
    assert "Equal bit for bit" in run(folder, 1, "--epochs", 1)
    assert files(folder) == before


def test_ctrl_c_ends_a_replay_immediately(folder: SweepFolder) -> None:
    """The signal arrives during a step that takes seconds."""
    change(folder, "UPDATE trials SET config = json_set(config, '$.model.width', 2, '$.training.batch_size', 64)")
    change(folder, "UPDATE attempts SET environment = NULL")
    before = files(folder)
    process = start("replay", NAME, 1, storage=folder.path.parent)
    assert process.stdout is not None
    assert "not recorded, assumed" in "".join(process.stdout.readline() for _ in range(2))
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "convnn: interrupted\n")
    assert files(folder) == before
