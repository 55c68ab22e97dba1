import pytest

from tests.tune_jobs.servers import free_port
from tests.tune_jobs.shipping import Recorded
from tune_jobs.driver.sync import sync
from tune_jobs.errors import TrackerError


def test_sync_says_what_is_wrong_and_what_to_do(sweep: Recorded) -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(TrackerError, match=r"is missing results of tracked: .*refused; .*: convnn sync tracked$"):
        sync(sweep.folder, uri, sweep.experiment, {}, patience_s=0.2)


def test_sync_returns_where_the_sweep_is_tracked(sweep: Recorded, uri: str) -> None:
    sweep.attempt([1, 2], "complete")
    place = sync(sweep.folder, uri, sweep.experiment, {})
    sweep.expect_whole(uri)
    assert (place.uri, place.experiment, place.error) == (uri, sweep.experiment, None)
