from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tests.tune_jobs.shipping import Recorded
from tune_jobs.record.lease import lease

FILE = """
name: tracked
space:
  model: {name: vgg11, layer: {kind: hybrid, lambda: 0.25, k: 4}}
  training: {lr: {uniform: [0.0001, 0.0002]}, epochs: 5}
search: {sampler: random, trials: 1}
"""


def test_a_sweep_is_shipped_to_the_tracker_of_its_file(sweep: Recorded, uri: str) -> None:
    storage = sweep.folder.path.parent
    sweep.attempt([1, 2], "complete")
    sweep.attempt([1], trial="b")  # its driver is gone
    sweep.folder.spec.write_text(
        f"{sweep.folder.spec.read_text()}tracking: {{uri: '{uri}', experiment: {sweep.experiment}}}\n"
    )
    with lease(sweep.folder.path):
        assert "is already running in process" in invoke("sync", "tracked", storage=storage, expect=1)
    told = invoke_json("sync", "tracked", storage=storage)
    assert (told["sweep"], told["tracker"]["uri"], told["tracker"]["error"]) == ("tracked", uri, None)
    sweep.expect_whole(uri)
    said = invoke("sync", "tracked", storage=storage)
    assert f"syncing tracked to {uri} ..." in said
    assert f"is up to date with tracked, in the experiment '{sweep.experiment}'" in said


def test_event_files_are_written_for_a_sweep_whose_file_asks_for_them(sweep: Recorded, uri: str) -> None:
    sweep.attempt([1, 2], "complete")
    files, storage = sweep.folder.path / "tensorboard", sweep.folder.path.parent
    sweep.folder.spec.write_text(f"{FILE}tracking: {{uri: '{uri}', experiment: {sweep.experiment}}}\n")
    invoke("sync", "tracked", storage=storage)
    assert not files.exists()
    invoke("resume", "tracked", "--set", "tracking.tensorboard=true", storage=storage)  # nothing to train
    (file,) = files.glob("*/events.out.tfevents.*")
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])
    invoke("sync", "tracked", storage=storage)
    assert file.read_bytes() == whole
