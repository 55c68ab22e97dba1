from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tune_jobs.record.folder import checkpoint_path, checkpoints_in
from tune_jobs.worker.checkpoints import KEPT, InSweep, OneFile


@dataclass
class State:
    """The part of a TrainState that checkpoints use."""

    epoch: int
    error: OSError | None = None

    def save(self, path: Path) -> None:
        if self.error:
            raise self.error
        path.write_text(str(self.epoch))


def saved(checkpoints: InSweep, epochs: range) -> None:
    for epoch in epochs:
        state: Any = State(epoch)
        checkpoints.save(state)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    made = tmp_path / "1", tmp_path / "2"
    for folder in made:
        folder.mkdir()
    return made


def test_the_last_two_checkpoints_of_a_trial_stay_over_all_attempts(folders: tuple[Path, Path]) -> None:
    first, second = folders
    saved(InSweep(first, [], 0, keep_last=True), range(1, 5))
    assert [path.stem[-1] for path in checkpoints_in(first)] == ["4", "3"]
    later = InSweep(second, checkpoints_in(first), 0, keep_last=True)
    assert [path.stem[-1] for path in later.sources()] == ["4", "3"]
    saved(later, range(5, 6))
    assert [path.stem[-1] for folder in (second, first) for path in checkpoints_in(folder)] == ["5", "4"]
    saved(later, range(6, 7))
    assert len(checkpoints_in(second)) == KEPT
    assert checkpoints_in(first) == []


def test_a_damaged_checkpoint_is_noted_and_kept_and_does_not_count(folders: tuple[Path, Path]) -> None:
    first, second = folders
    saved(InSweep(first, [], 0, keep_last=True), range(1, 3))
    newest, older = checkpoints_in(first)
    later = InSweep(second, [newest, older], 0, keep_last=True)
    assert later.note is None
    later.damaged(newest, OSError("cannot be read"))
    assert later.note == "skipped a damaged checkpoint: cannot be read"
    assert later.sources() == [older]
    saved(later, range(3, 5))
    assert newest.exists()
    assert not older.exists()


def test_a_checkpoint_is_due_after_the_interval_and_at_the_end_on_request(tmp_path: Path) -> None:
    assert InSweep(tmp_path, [], 0, keep_last=False).due(last=False)
    assert not InSweep(tmp_path, [], 3600, keep_last=True).due(last=False)
    assert InSweep(tmp_path, [], 3600, keep_last=True).due(last=True)
    assert not InSweep(tmp_path, [], 0, keep_last=False).due(last=True)
    assert OneFile(tmp_path / "one.pt", 3600).due(last=True)
    assert not OneFile(tmp_path / "one.pt", 3600).due(last=False)


def test_only_a_full_disk_is_an_error(tmp_path: Path) -> None:
    checkpoints = InSweep(tmp_path, [], 0, keep_last=True)
    away: Any = State(1, OSError(5, "Input/output error"))
    checkpoints.save(away)  # training continues without it
    full: Any = State(1, OSError(28, "No space left on device"))
    with pytest.raises(OSError, match="No space left"):
        checkpoints.save(full)


def test_one_file_is_replaced_and_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    path = checkpoint_path(tmp_path, 1)
    one = OneFile(path, 0)
    for epoch in (1, 2):
        state: Any = State(epoch)
        one.save(state)
    assert path.read_text() == "2"
    assert list(one.sources()) == [path]
    with pytest.raises(OSError, match="torn"):
        one.damaged(path, OSError("torn"))
