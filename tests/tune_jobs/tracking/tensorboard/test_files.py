"""Event files, read by TensorBoard itself."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from tests.faults.disks import small_disk
from tests.tune_jobs.shipping import Recorded
from tune_jobs.results.columns import Column
from tune_jobs.results.history import curves
from tune_jobs.tracking.tensorboard.files import FILE, FOLDER, EventFiles, make_equal
from tune_jobs.tracking.tensorboard.tracker import TensorBoardTracker

WRITER = """
import sys
from contextlib import closing
from pathlib import Path
from tune_jobs.record.ledger import Ledger
from tune_jobs.tracking.tensorboard.files import FOLDER, EventFiles
folder = Path(sys.argv[1])
with closing(Ledger(folder / "ledger.db")) as ledger:
    while True:
        files = EventFiles(ledger, folder / FOLDER, [])
        for changed in files.changed() or ():
            files.write(*changed)
        print("started", flush=True)
"""
"""Writes the same trial repeatedly, each time without knowledge of the earlier writes."""

KEYS = (Column("lambda", "lambda"), Column("lr", "lr"))


def updated(sweep: Recorded) -> dict[str, Path]:
    """Update the sweep's event files as a driver does at its end, and return them by run."""
    assert TensorBoardTracker(sweep.destination("http://mlflow"), every_s=0.05).close(30) is None
    return {file.parent.name: file for file in (sweep.folder.path / FOLDER).glob(f"*/{FILE}")}


def scalars(file: Path) -> dict[str, list[tuple[int, float]]]:
    """Return every step and value that TensorBoard finds in a run."""
    found = EventAccumulator(str(file.parent), size_guidance={"scalars": 0}).Reload()
    return {tag: [(each.step, each.value) for each in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def expect_complete(sweep: Recorded) -> None:
    """Expect each effective number once, and no other."""
    files = updated(sweep)
    by_key = curves(sweep.ledger.epochs())
    trials = sweep.ledger.trials(role=None)
    assert len(files) == len(trials)
    for (_, file), trial in zip(sorted(files.items()), trials, strict=True):
        recorded: dict[str, list[Any]] = {}
        for epoch in by_key.get(trial.run_key, []):
            for tag, number in epoch.metrics.items():
                recorded.setdefault(tag, []).append((epoch.epoch, pytest.approx(number, rel=1e-6)))
        assert scalars(file) == recorded


@pytest.fixture
def sweep(sweep: Recorded) -> Recorded:
    return Recorded(sweep.folder, sweep.ledger, KEYS)


def test_tensorboard_finds_each_effective_epoch_once(sweep: Recorded) -> None:
    sweep.attempt([1, 2, 3], "interrupted")
    expect_complete(sweep)
    sweep.attempt([3, 4, 5], "complete")  # epoch 3 again: the second number counts
    sweep.attempt([1], "failed", "a mistake", "user_error", trial="b")
    expect_complete(sweep)


def test_a_file_cut_off_anywhere_is_completed(sweep: Recorded) -> None:
    number = sweep.attempt([1, 2])
    (file,) = updated(sweep).values()
    before = file.read_bytes()
    sweep.epochs(number, [3])
    sweep.ledger.end_attempt("a", number, "complete")
    updated(sweep)
    whole = file.read_bytes()
    assert whole.startswith(before)
    files = EventFiles(sweep.ledger, sweep.folder.path / FOLDER, KEYS)
    changed = files.changed()
    assert changed is not None
    ((trial, attempts),) = changed
    for kept in range(len(whole)):
        file.write_bytes(
            whole[:kept] if kept % 2 else whole[:kept] + bytes(len(whole) - kept)
        )  # or zeros, as after a power loss
        files.write(trial, attempts)
        assert file.read_bytes() == whole


def test_a_killed_writer_loses_and_duplicates_no_number(sweep: Recorded) -> None:
    number, epoch = sweep.attempt([1]), 1
    for pause_s in (0.0, 0.05, 0.2):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(sweep.folder.path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"started\n"
            deadline = time.monotonic() + pause_s
            while time.monotonic() <= deadline:
                epoch += 1
                sweep.epochs(number, [epoch])
            writer.kill()
    assert epoch > 3
    expect_complete(Recorded(sweep.folder, sweep.ledger))  # without columns, as in the writer


def test_a_file_grows_at_its_end_so_that_a_reader_can_continue(sweep: Recorded) -> None:
    number = sweep.attempt([1])
    (file,) = updated(sweep).values()
    reader = EventAccumulator(str(file.parent), size_guidance={"scalars": 0}).Reload()
    before = file.stat().st_ino
    sweep.epochs(number, [2, 3])
    updated(sweep)
    assert file.stat().st_ino == before
    assert [each.step for each in reader.Reload().Scalars("val/accuracy")] == [1, 2, 3]


def test_trials_can_be_compared_by_their_varying_fields(sweep: Recorded) -> None:
    sweep.attempt([1], "complete")
    sweep.attempt([1], "failed", "a mistake", "user_error", trial="b")
    names, statuses = [], []
    for name, file in sorted(updated(sweep).items()):
        found = EventAccumulator(str(file.parent)).Reload().summary_metadata
        start = metadata.parse_session_start_info_plugin_data(
            found[metadata.SESSION_START_INFO_TAG].plugin_data.content
        )
        end = metadata.parse_session_end_info_plugin_data(found[metadata.SESSION_END_INFO_TAG].plugin_data.content)
        assert (start.hparams["lambda"].number_value, set(start.hparams)) == (0.25, {"lambda", "lr", "seed"})
        names.append(name)
        statuses.append(end.status)
    assert names == ["001 λ0.25 lr1e-4", "002 λ0.25 lr1e-4"]
    assert statuses == [1, 2]  # success, failure


def test_an_excluded_trial_has_no_run_and_other_files_stay(sweep: Recorded) -> None:
    for trial in "ab":
        sweep.attempt([1], "complete", trial=trial)
    first, second = updated(sweep).values()
    (first.parent / "notes.txt").write_text("mine")
    for trial in "ab":
        sweep.ledger.add_request(trial, "exclude", "wrong images")
    assert updated(sweep) == {}
    assert (first.parent / "notes.txt").exists()
    assert not second.parent.exists()


def test_a_hostile_value_gives_a_plain_folder_name(sweep: Recorded) -> None:
    hostile = Recorded(sweep.folder, sweep.ledger, (Column("data.root", "data.root"),))
    sweep.attempt([1], "complete")
    config = sweep.ledger.trials()[0].config
    moved = config.model_copy(update={"data": config.data.model_copy(update={"root": "../../x\x1b[2J" + "y" * 300})})
    sweep.ledger._db.execute("UPDATE trials SET config = ?", (moved.model_dump_json(by_alias=True),))
    (name,) = updated(hostile)
    assert "/" not in name
    assert "\x1b" not in name
    assert [path.name for path in sweep.folder.path.iterdir() if path.is_dir()] == [FOLDER]


def test_a_full_disk_is_reported_and_its_numbers_follow_later(sweep: Recorded) -> None:
    number = sweep.attempt([1])
    with small_disk(sweep.folder.path / FOLDER, 1 << 20) as disk:
        (file,) = updated(sweep).values()
        disk.leave(0)
        sweep.epochs(number, range(2, 400))
        error = TensorBoardTracker(sweep.destination("http://mlflow")).close(30)
        assert error is not None
        assert "No space left" in error
        assert scalars(file)["val/accuracy"][0][0] == 1
        disk.resize(1 << 20)
        expect_complete(sweep)


def test_the_record_is_read_once_for_all_trials(sweep: Recorded) -> None:
    read: list[str] = []
    for count in (2, 20):
        for number in range(count):
            sweep.attempt([1], "complete", trial=f"t{count}-{number}")
        files, before = EventFiles(sweep.ledger, sweep.folder.path / FOLDER, KEYS), len(read)
        sweep.ledger._db.set_trace_callback(read.append)
        for changed in files.changed() or ():
            files.write(*changed)
        files.tidy()
        sweep.ledger._db.set_trace_callback(None)
        assert (
            sum("FROM epochs" not in query for query in read[before:]) == 5
        )  # last change, states, requests, trials, attempts
    assert len(list((sweep.folder.path / FOLDER).iterdir())) == 22


def test_closing_continues_while_files_are_written_and_reports_progress(
    sweep: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tune_jobs.tracking.base.SAY_EVERY_S", 0.0)
    monkeypatch.setattr("tune_jobs.tracking.tensorboard.files.make_equal", slowly)
    updated(sweep)  # loads TensorBoard's packages
    for trial in "abcdefg":
        sweep.attempt([1], "complete", trial=trial)
    said: list[str] = []
    assert TensorBoardTracker(sweep.destination("http://mlflow")).close(0.5, said.append) is None
    assert "event files for TensorBoard: 1 trials left ..." in said
    assert len(list((sweep.folder.path / FOLDER).iterdir())) == 7


def slowly(file: Path, content: bytes) -> None:
    time.sleep(0.1)
    make_equal(file, content)


def test_nothing_is_written_after_the_time_limit(sweep: Recorded) -> None:
    sweep.attempt([1], "complete")
    TensorBoardTracker(sweep.destination("http://mlflow")).close(0)
    assert not list((sweep.folder.path / FOLDER).glob("*"))


def test_a_metric_that_is_not_a_number_is_left_out(sweep: Recorded) -> None:
    sweep.attempt([1], "complete")
    odd = '{"val/accuracy": null, "a word\\u001b[2J": "word", "train/loss": NaN}'
    sweep.ledger._db.execute("UPDATE epochs SET metrics = ?", (odd,))
    (file,) = updated(sweep).values()
    assert list(scalars(file)) == ["train/loss"]
