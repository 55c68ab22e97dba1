from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tests.tune_jobs.shipping import Recorded
from tune_jobs.record.lease import lease


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
