"""A job is followed over connections that stall and break."""

import pytest

from tests.tune_jobs.cluster.head import Break, Head, Pause, Stream, followed
from tune_jobs.cluster import follow as module
from tune_jobs.errors import ClusterError

pytestmark = pytest.mark.filterwarnings("ignore:ssl=None is deprecated:DeprecationWarning")  # Ray's own call


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the time limits for tests."""
    for name, seconds in (("POLL_S", 0.05), ("CALL_S", 2.0), ("REOPEN_S", 30.0), ("PATIENCE_S", 0.6)):
        monkeypatch.setattr(module, name, seconds)


def test_a_log_that_stalls_after_the_jobs_end_is_waited_for() -> None:
    head = Head([["one\n", Pause(1.0), "two\n"]])
    assert followed(head) == "one\ntwo\n"
    assert (head.opened, head.whole_logs) == (1, 0)


@pytest.mark.parametrize(
    "first", [["one\n", "tw", Pause(60)], ["one\n", "tw", Break()], ["one\n", Break(failing_s=0.2)]]
)
def test_a_log_that_falls_silent_or_breaks_is_continued_at_the_same_place(first: Stream) -> None:
    head = Head([first, ["one\n", Pause(0.2), "two\n"]])
    assert followed(head) == "one\ntwo\n"
    assert (head.opened, head.whole_logs) == (2, 0)


def test_a_log_that_no_longer_exists_is_given_up() -> None:
    head = Head([["one\n", Break()], [Break()]])
    assert followed(head) == "one\n"
    assert head.opened == 1 + module.VAIN_STREAMS


def test_a_quiet_job_is_followed_through_a_short_outage() -> None:
    head = Head([["one\n", Pause(1.5), Break(failing_s=0.3)], ["one\n", "two\n"]], runs_until=2)
    assert followed(head) == "one\ntwo\n"


def test_a_cluster_that_does_not_come_back_is_given_up() -> None:
    with pytest.raises(ClusterError, match="the head is busy"):
        followed(Head([["one\n", Break(failing_s=60)]], runs_until=99))


def test_a_silent_job_is_given_up() -> None:
    with pytest.raises(ClusterError, match="has said nothing for 1 s"):
        followed(Head([[Pause(60)]], runs_until=99), silence_s=1)
