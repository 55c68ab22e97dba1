import contextlib
import shutil
from pathlib import Path

import pytest

from search_spaces.settings import Tracking
from tests.tune_jobs.shipping import Recorded
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.tracking.address import default_store, sqlite_uri
from tune_jobs.tracking.place import Place, has_own_runs, place_of, tracked_as

SERVER = "http://127.0.0.1:5000"


def place(folder: SweepFolder, tracking: Tracking | None = None) -> tuple[Place, str]:
    """Return where a folder's sweep is tracked and its id there, after this is recorded."""
    with contextlib.closing(Ledger(folder.ledger, upgrade=True)) as ledger:
        found = place_of(tracking or Tracking(), folder, ledger)
        meta = ledger.meta
        meta.tracker, meta.tracker_experiment, meta.tracker_experiment_id = found.uri, found.experiment, "1"
        meta.tracker_is_default = found.uri != SERVER
        return found, tracked_as(ledger)


def copy(folder: SweepFolder, to: str) -> SweepFolder:
    return SweepFolder(shutil.copytree(folder.path, folder.path.parent / to))


def rename(folder: SweepFolder, to: str) -> SweepFolder:
    return SweepFolder(folder.path.rename(folder.path.parent / to))


@pytest.fixture
def folder(sweep: Recorded) -> SweepFolder:
    """A sweep that has run once."""
    sweep.attempt([1], "complete")
    sweep.ledger.close()
    return sweep.folder


@pytest.fixture(params=[None, SERVER], ids=["default", "served"])
def tracking(request: pytest.FixtureRequest) -> Tracking:
    return Tracking(uri=request.param)


def test_a_sweep_is_tracked_by_its_name_unless_its_file_names_an_experiment(folder: SweepFolder) -> None:
    assert place(folder)[0] == Place(sqlite_uri(default_store(folder)), "tracked")
    assert place(folder, Tracking(experiment="other"))[0].experiment == "other"


def test_a_renamed_sweep_keeps_its_runs(folder: SweepFolder, tracking: Tracking) -> None:
    before = place(folder, tracking)
    assert place(rename(folder, "renamed"), tracking) == before


def test_a_copy_has_separate_runs_and_leaves_the_originals_alone(folder: SweepFolder, tracking: Tracking) -> None:
    before, known_as = place(folder, tracking)
    for name in ("copy", "another"):
        copied = copy(folder, name)
        with contextlib.closing(Ledger(copied.ledger)) as ledger:
            assert not has_own_runs(copied, ledger)
        there, copied_as = place(copied, tracking)
        assert (there.uri, there.experiment) == (before.uri, name)
        assert copied_as != known_as
        assert place(copied, tracking) == (there, copied_as)  # and keeps its runs
        with contextlib.closing(Ledger(copied.ledger)) as ledger:
            assert has_own_runs(copied, ledger)
    assert place(folder, tracking) == (before, known_as)
    again = copy(copied, "copy of a copy")
    assert place(again, tracking)[1] not in (known_as, copied_as)


@pytest.mark.parametrize("original_first", [True, False])
def test_a_copy_is_recognized_after_the_original_was_renamed(folder: SweepFolder, *, original_first: bool) -> None:
    before = place(folder)
    copied = copy(folder, "copy")
    renamed = rename(folder, "renamed")
    if original_first:
        assert place(renamed) == before
    assert place(copied)[1] != before[1]
    assert place(renamed) == before


def test_a_copy_of_the_whole_storage_continues_as_the_same_sweep(folder: SweepFolder, tmp_path: Path) -> None:
    before = place(folder)
    whole = SweepFolder(shutil.copytree(folder.path.parent, tmp_path / "elsewhere") / folder.name)
    there, known_as = place(whole)
    assert (there.uri, there.experiment) == (sqlite_uri(tmp_path / "elsewhere" / "mlflow.db"), before[0].experiment)
    assert known_as == before[1]  # its store was copied, too


def test_a_copy_from_0_1_0_is_recognized_by_the_originals_store(folder: SweepFolder) -> None:
    with contextlib.closing(Ledger(folder.ledger, upgrade=True)) as ledger:
        ledger.meta.tracker, ledger.meta.tracker_experiment = sqlite_uri(folder.store), "tracked"
        known_as = tracked_as(ledger)
    copied = copy(folder, "copy")
    assert place(copied)[1] != known_as
    assert place(folder)[1] == known_as


def test_the_runs_of_a_removed_original_are_taken_over(folder: SweepFolder, tracking: Tracking) -> None:
    before = place(folder, tracking)
    copied = copy(folder, "copy")
    shutil.rmtree(folder.path)
    assert place(copied, tracking) == before


def test_viewing_a_sweep_does_not_move_it_to_another_tracker(
    folder: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, _ = place(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", SERVER)
    with contextlib.closing(Ledger(folder.ledger)) as ledger:
        assert place_of(Tracking(), folder, ledger, stays=True) == before
        assert place_of(Tracking(), folder, ledger).uri == SERVER
