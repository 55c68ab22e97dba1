from pathlib import Path

from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tests.tune_jobs.shipping import Recorded
from tune_jobs.record.lease import lease
from tune_jobs.record.names import TRIALS


def checkpoint(sweep: Recorded) -> Path:
    """Write a file of 1 MiB to a trial's folder."""
    path = sweep.folder.attempt("a", 1) / "checkpoint-000002.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(2**20))
    return path


def test_a_sweep_is_removed_after_a_question_and_its_name_is_free(sweep: Recorded) -> None:
    sweep.attempt([1, 2], "complete")
    checkpoint(sweep)
    storage, name = sweep.folder.path.parent, sweep.folder.name
    (storage / "mine.txt").touch()
    asked = invoke("rm", name, storage=storage, expect=2)
    assert f"Remove {sweep.folder.path} and everything in it, 1." in asked
    assert "add --yes" in asked
    assert sweep.folder.ledger.exists()
    assert f"the name {name} is free again." in invoke("rm", name, "--yes", storage=storage)
    assert [path.name for path in storage.iterdir()] == ["mine.txt"]
    assert f"there is no sweep '{name}'" in invoke("show", name, storage=storage, expect=2)


def test_only_checkpoints_are_removed_and_every_result_stays(sweep: Recorded) -> None:
    sweep.attempt([1, 2], "complete")
    kept = checkpoint(sweep)
    storage, name = sweep.folder.path.parent, sweep.folder.name
    assert "of which 1.0 MiB are checkpoints" in invoke("status", name, storage=storage)
    before = invoke_json("show", name, storage=storage)
    said = invoke("rm", name, "--checkpoints", "--yes", storage=storage)
    assert said == f"1.0 MiB freed; all results of {name} are kept.\n"
    assert not kept.exists()
    assert (sweep.folder.path / TRIALS).is_dir()
    assert invoke_json("show", name, storage=storage) == before
    assert invoke_json("status", name, storage=storage)["disk_bytes"]["checkpoints"] == 0


def test_a_running_sweep_is_refused(sweep: Recorded) -> None:
    with lease(sweep.folder.path):
        for options in ([], ["--checkpoints"]):
            said = invoke("rm", sweep.folder.name, *options, "--yes", storage=sweep.folder.path.parent, expect=2)
            assert f"stop it first: convnn stop {sweep.folder.name}" in said
    assert sweep.folder.ledger.exists()


def test_runs_on_another_tracker_stay_and_the_output_says_so(sweep: Recorded) -> None:
    sweep.ledger.meta.tracker, sweep.ledger.meta.tracker_experiment = "http://me:secret@host:5000", "of mine"
    said = invoke("rm", sweep.folder.name, "--yes", storage=sweep.folder.path.parent)
    assert "Its runs stay in the experiment 'of mine' of http://host:5000" in said
