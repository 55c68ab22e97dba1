from pathlib import Path

import pytest

from search_spaces import TrialConfig, run_key
from tune_jobs.errors import LedgerError, UsageError
from tune_jobs.record.folder import (
    SweepFolder,
    checkpoint_path,
    default_storage,
    find_sweep,
    recorded_spec,
    set_aside,
    sweep_folders,
)
from tune_jobs.record.lease import lease

FILE = "name: first\nspace: {data: {name: digits}, model: {layer: {kind: conv2d}}}\n"


def made(storage: Path, name: str) -> SweepFolder:
    folder = SweepFolder(storage / name)
    folder.path.mkdir(parents=True)
    folder.ledger.touch()
    return folder


def test_storage_is_set_by_the_environment_or_in_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVNN_STORAGE", "~/sweeps")
    assert default_storage() == Path.home() / "sweeps"
    monkeypatch.setenv("CONVNN_STORAGE", "")
    assert default_storage() == Path.home() / "convnn-sweeps"


def test_sweeps_are_found_by_name_and_a_wrong_name_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError,
        match=r"there is no sweep 'a' in .*; the folder has no sweeps yet. To create one: convnn run quickstart",
    ):
        find_sweep("a", tmp_path)
    folders = [made(tmp_path, name) for name in ("digits-tpe", "grid")]
    (tmp_path / "no sweep").mkdir()
    assert sweep_folders(tmp_path) == folders
    assert find_sweep("grid", tmp_path) == folders[1]
    with pytest.raises(UsageError, match=r"there is no sweep 'digits-tpa' in .*'digits-tpe'"):
        find_sweep("digits-tpa", tmp_path)
    made(tmp_path.parent, tmp_path.name + "-2")
    with pytest.raises(UsageError, match="there is no sweep"):
        find_sweep(".", tmp_path / "grid")


def test_a_renamed_sweep_has_the_name_of_its_folder(tmp_path: Path) -> None:
    folder = made(tmp_path, "second")
    with pytest.raises(UsageError, match=r"sweep\.yaml is missing, so the trials cannot be checked"):
        recorded_spec(folder)
    folder.spec.write_text(FILE)
    assert recorded_spec(folder).name == "second"


def test_the_newest_attempt_has_the_log_and_comes_first_with_its_checkpoints(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)
    assert folder.log_of("key") == tmp_path / "trials" / "key" / "1" / "log.txt"
    places = [folder.attempt("key", attempt) for attempt in (2, 10)]
    for place in places:
        place.mkdir(parents=True)
        for epoch in (9, 10):
            checkpoint_path(place, epoch).touch()
    (places[1] / ".checkpoint-000011.pt.77.partial").touch()
    assert folder.attempts() == folder.attempts("key") == places
    assert folder.log_of("key") == places[1] / "log.txt"
    found = [str(path.relative_to(tmp_path / "trials" / "key")) for path in folder.checkpoints("key")]
    assert found == [f"{attempt}/checkpoint-{epoch:06d}.pt" for attempt in (10, 2) for epoch in (10, 9)]


def test_a_sweep_is_set_aside_unless_it_is_running(tmp_path: Path) -> None:
    folder = made(tmp_path, "first")
    with lease(folder.path), pytest.raises(LedgerError, match="is already running in process"):
        set_aside(folder)
    aside = set_aside(folder)
    assert not folder.path.exists()
    assert aside.path.name.startswith("first-until-")
    assert {path.name for path in aside.path.iterdir()} == {"ledger.db", "driver.lock"}


@pytest.mark.parametrize("key", ["/etc/outside", "../outside", "..", "", "a/b", "a\0b", "a" * 65, "a\n", "-x"])
def test_a_run_key_that_looks_like_a_path_is_refused(tmp_path: Path, key: str) -> None:
    folder = SweepFolder(tmp_path)
    for place in (lambda: folder.attempt(key, 1), lambda: folder.attempts(key), lambda: folder.log_of(key)):
        with pytest.raises(LedgerError, match="which is not valid"):
            place()


def test_every_run_key_can_be_a_folder_name(tmp_path: Path) -> None:
    key = run_key(TrialConfig.model_validate({"model": {"name": "vgg11", "layer": {"kind": "conv2d"}}}))
    assert SweepFolder(tmp_path).attempt(key, 1) == tmp_path / "trials" / key / "1"


def test_other_folders_among_attempts_are_skipped(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)
    for name in ("1", "2x"):
        (tmp_path / "trials" / "key" / name).mkdir(parents=True)
    assert folder.attempts("key") == [tmp_path / "trials" / "key" / "1"]


@pytest.mark.parametrize("name", ["../a", "..", "", ".", "a/../b", "x" * 300])
def test_a_sweep_is_never_searched_for_outside_its_storage(tmp_path: Path, name: str) -> None:
    made(tmp_path, "a")
    made(tmp_path / "storage", "b")
    with pytest.raises(UsageError, match="there is no sweep"):
        find_sweep(name, tmp_path / "storage")
