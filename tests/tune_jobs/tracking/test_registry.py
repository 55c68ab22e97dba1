"""A custom tracker is one class."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.tune_jobs.shipping import Recorded
from tune_jobs.record.ledger import Ledger
from tune_jobs.tracking.base import Destination, Tracked, Tracker
from tune_jobs.tracking.mlflow.shipper import MLflowTracker
from tune_jobs.tracking.registry import add_tracker, open_tracker


@dataclass
class TextFile(Tracker):
    """Writes one line per trial to a text file."""

    destination: Destination
    name = "the text file"
    left = None

    @property
    def path(self) -> Path:
        return Path(self.destination.uri.removeprefix("text://"))

    def start(self) -> None:
        """Do nothing before the end."""

    def close(self, timeout_s: float, say: Callable[[str], None] = lambda _: None) -> str | None:
        del timeout_s
        ledger = Ledger(self.destination.folder.ledger)
        lines = [f"{trial.run_key} {trial.state}" for trial in ledger.trials()]
        ledger.close()
        say(f"{len(lines)} trials")
        self.path.write_text("\n".join(lines))
        return None

    def tracked(self, ledger: Ledger, error: str | None = None) -> Tracked:
        return Tracked(self.destination.uri, f"{len(ledger.trials())} trials", self.path.as_uri(), error)


def test_a_custom_tracker_is_found_by_its_address(sweep: Recorded, tmp_path: Path) -> None:
    add_tracker("text", TextFile)
    sweep.attempt([1], "complete")
    tracker = open_tracker(sweep.destination(f"text://{tmp_path}/sweep.txt"))
    tracker.start()
    said: list[str] = []
    assert tracker.close(1, said.append) is None
    assert (said, (tmp_path / "sweep.txt").read_text()) == (["1 trials"], "a complete")
    assert tracker.tracked(sweep.ledger).page == f"file://{tmp_path}/sweep.txt"


def test_event_files_are_written_beside_any_tracker_and_their_errors_reported(sweep: Recorded, tmp_path: Path) -> None:
    add_tracker("text", TextFile)
    sweep.attempt([1], "complete")
    destination = replace(sweep.destination(f"text://{tmp_path}/sweep.txt"), tensorboard=True)
    tracker = open_tracker(destination)
    tracker.start()
    assert tracker.close(30) is None
    assert (tracker.name, (tmp_path / "sweep.txt").read_text()) == ("the text file", "a complete")
    place = sweep.folder.path / "tensorboard"
    assert len(list(place.glob("*/events.out.tfevents.*"))) == 1
    place.rename(tmp_path / "elsewhere")
    place.write_text("not a folder")
    error = open_tracker(destination).close(30)
    assert error == f"event files for TensorBoard: {place} cannot be written: Not a directory"


def test_a_tracker_has_its_full_time_although_event_files_are_slow(
    sweep: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Timed(TextFile):
        def close(self, timeout_s: float, say: Callable[[str], None] = lambda _: None) -> str | None:
            say(f"{timeout_s:g} s")
            return "no answer"

    add_tracker("timed", Timed)
    monkeypatch.setattr("tune_jobs.tracking.tensorboard.files.make_equal", lambda *_: time.sleep(0.1))
    for trial in "abc":
        sweep.attempt([1], "complete", trial=trial)
    destination = replace(sweep.destination(f"timed://{tmp_path}"), tensorboard=True)
    open_tracker(destination).close(30)  # loads TensorBoard's packages
    said: list[str] = []
    assert open_tracker(destination).close(0.4, said.append) == "no answer"
    assert said == ["0.4 s"]


def test_every_other_address_belongs_to_mlflow(sweep: Recorded) -> None:
    for uri in ("http://host:5000", "https://host", "sqlite:////there/mlflow.db", "postgresql://host/db", "databricks"):
        assert isinstance(open_tracker(sweep.destination(uri)), MLflowTracker)
