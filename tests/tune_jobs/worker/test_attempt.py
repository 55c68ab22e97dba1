"""One attempt at a trial, without Ray."""

from pathlib import Path

from search_spaces import TrialConfig
from search_spaces.sweep import Holdout
from tune_jobs.record.folder import checkpoints_in
from tune_jobs.worker.attempt import train
from tune_jobs.worker.checkpoints import InSweep

CONFIG = TrialConfig.model_validate(
    {
        "data": {"name": "digits", "limit": 60},
        "model": {"name": "vgg11", "width": 0.0625, "classifier_width": 16, "layer": {"kind": "conv2d"}},
        "training": {"epochs": 3},
    }
)


def test_a_checkpoint_that_cannot_be_read_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    told: list[tuple[int, str | None]] = []

    def tell(epoch: int, note: str | None) -> None:
        told.append((epoch, note))

    folder = tmp_path / "1"
    folder.mkdir()
    first = InSweep(folder, [], 0, keep_last=True, tell=tell)
    (result,) = train(CONFIG, Holdout(), checkpoints=first, stopping=lambda: True)
    assert result.epoch == 1
    unreadable = tmp_path / "2" / "checkpoint-000002.pt"
    unreadable.mkdir(parents=True)  # reading it is an OSError, as of a disk that fails in one place
    again = InSweep(
        unreadable.parent,
        [unreadable, *checkpoints_in(folder)],
        1e9,
        keep_last=False,
        tell=tell,
    )
    assert [result.epoch for result in train(CONFIG, Holdout(), checkpoints=again)] == [2, 3]
    (start, _), (after, note) = told
    assert (start, after) == (0, 1)
    assert str(unreadable) in (note or "")
