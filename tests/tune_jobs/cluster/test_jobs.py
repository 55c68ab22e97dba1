"""A job is followed over connections that stall and break, and no secret is shown, whatever it looks like."""

import base64
from pathlib import Path

import pytest

from tests.tune_jobs.cluster.head import JOB, Break, Head, Pause, Stream
from tests.tune_jobs.servers import free_port
from tune_jobs.cluster import jobs as connection
from tune_jobs.cluster.jobs import Jobs
from tune_jobs.errors import ClusterError, UsageError

pytestmark = pytest.mark.filterwarnings("ignore:ssl=None is deprecated:DeprecationWarning")  # Ray's own call
HIDDEN = "s3cr3t"


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times a test can wait for, and no token."""
    for name, seconds in (("POLL_S", 0.05), ("CALL_S", 2.0), ("REOPEN_S", 30.0), ("PATIENCE_S", 0.6)):
        monkeypatch.setattr(connection, name, seconds)
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)


def followed(head: Head, silence_s: float | None = None) -> str:
    with head.serving():
        return "".join(Jobs(head.address).follow(JOB, silence_s))


def test_a_log_that_stalls_after_the_jobs_end_is_waited_for() -> None:
    head = Head([["one\n", Pause(1.0), "two\n"]])
    assert followed(head) == "one\ntwo\n"
    assert (head.opened, head.whole_logs) == (1, 0)


@pytest.mark.parametrize(
    "first", [["one\n", "tw", Pause(60)], ["one\n", "tw", Break()], ["one\n", Break(failing_s=0.2)]]
)
def test_a_log_that_falls_silent_or_breaks_is_taken_up_where_it_was(first: Stream) -> None:
    head = Head([first, ["one\n", Pause(0.2), "two\n"]])
    assert followed(head) == "one\ntwo\n"
    assert (head.opened, head.whole_logs) == (2, 0)


def test_a_log_that_nobody_has_any_more_is_given_up() -> None:
    head = Head([["one\n", Break()], [Break()]])
    assert followed(head) == "one\n"
    assert head.opened == 1 + connection.VAIN_STREAMS


def test_a_quiet_job_is_followed_through_an_outage_shorter_than_the_patience() -> None:
    head = Head([["one\n", Pause(1.5), Break(failing_s=0.3)], ["one\n", "two\n"]], runs_until=2)
    assert followed(head) == "one\ntwo\n"


def test_a_cluster_that_does_not_come_back_is_given_up() -> None:
    with pytest.raises(ClusterError, match="the head is busy"):
        followed(Head([["one\n", Break(failing_s=60)]], runs_until=99))


def test_a_job_that_says_nothing_is_given_up() -> None:
    with pytest.raises(ClusterError, match="has said nothing for 1 s"):
        followed(Head([[Pause(60)]], runs_until=99), silence_s=1)


@pytest.mark.parametrize("token", [f"{HIDDEN}\nline", f"{HIDDEN} {HIDDEN}", f"{HIDDEN}\u20ac", f"{HIDDEN}\x07"])
def test_a_token_that_cannot_be_sent_is_named_by_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    for name, value, source in (
        ("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"), str(tmp_path / "token")),
        ("RAY_AUTH_TOKEN", token, "RAY_AUTH_TOKEN"),
    ):
        (tmp_path / "token").write_text(token, encoding="utf-8")
        monkeypatch.setenv(name, value)
        with pytest.raises(UsageError, match="is no token") as raised:
            Jobs(f"http://127.0.0.1:{free_port()}")
        assert source in str(raised.value)
        assert HIDDEN not in str(raised.value)


def test_a_line_break_after_a_token_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", f"{HIDDEN}\n")
    head = Head([["done\n"]])
    assert followed(head) == "done\n"
    assert head.authorizations == {f"Bearer {HIDDEN}"}


def test_the_user_in_an_address_is_sent_and_not_shown() -> None:
    head = Head([["done\n"]])
    with head.serving():
        jobs = Jobs(head.address.replace("://", f"://me:{HIDDEN}%40@"))
        assert "".join(jobs.follow(JOB)) == "done\n"
        assert jobs.address == head.address
    assert head.authorizations == {f"Basic {base64.b64encode(f'me:{HIDDEN}@'.encode()).decode()}"}


@pytest.mark.parametrize(
    ("password", "host"),
    [
        (HIDDEN, "127.0.0.1"),
        (HIDDEN, "127.0.0.1:1"),
        (HIDDEN, "127.0.0.1:x"),
        (HIDDEN, "a..b"),
        (HIDDEN, "["),
        (HIDDEN, ""),
        (f"a/{HIDDEN}", "127.0.0.1"),
    ],
)
def test_the_password_in_an_address_that_does_not_work_is_not_shown(password: str, host: str) -> None:
    with pytest.raises((UsageError, ClusterError)) as raised:
        Jobs(f"http://me:{password}@{host}")
    assert HIDDEN not in str(raised.value)


def test_a_server_that_is_something_else_is_said() -> None:
    with Head().serving() as head, pytest.raises(ClusterError, match="answers with HTTP 404"):
        Jobs(f"{head.address}/elsewhere")
