"""Credentials are sent correctly, and no secret is ever shown."""

import base64
from pathlib import Path

import pytest

from tests.tune_jobs.cluster.head import JOB, Head, followed
from tests.tune_jobs.servers import free_port
from tune_jobs.cluster.follow import follow
from tune_jobs.cluster.jobs import Jobs
from tune_jobs.errors import ClusterError, UsageError

pytestmark = pytest.mark.filterwarnings("ignore:ssl=None is deprecated:DeprecationWarning")  # Ray's own call
HIDDEN = "s3cr3t"


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
        with pytest.raises(UsageError, match="which are not allowed in a token") as raised:
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
        assert "".join(follow(jobs, JOB)) == "done\n"
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
def test_the_password_in_an_unreachable_address_is_not_shown(password: str, host: str) -> None:
    with pytest.raises((UsageError, ClusterError)) as raised:
        Jobs(f"http://me:{password}@{host}")
    assert HIDDEN not in str(raised.value)
