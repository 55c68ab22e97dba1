import os

import pytest

from tune_jobs.errors import UsageError
from tune_jobs.system.redaction import (
    TRACKING_TOKEN,
    can_be_sent,
    tidy_tracking_token,
    without_notify,
    without_password,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:secret@host:5000/path", "http://host:5000/path"),
        ("postgresql://me:se/cret@host/db", "postgresql://host/db"),
        ("postgresql://me:se/cr@et:1@host/db", "postgresql://host/db"),
        ("postgresql://me:two words@host/db", "postgresql://host/db"),
        ("mysql://me:5000@host:3306/db", "mysql://host:3306/db"),
        ("http://host/api?token=abc&x=1&api_key=d%20e#f", "http://host/api?token=***&x=1&api_key=***#f"),
        ("uri: 'https://host?Access_Token=abc'", "uri: 'https://host?Access_Token=***'"),
        ("http://host:5000?x=1", "http://host:5000?x=1"),
        ("see http://host:8080, and mail a@b", "see http://host:8080, and mail a@b"),
        ("http://host:80 and me@there", "http://host:80 and me@there"),
        ("no address here", "no address here"),
        ("http://host:5000/a@b", "http://host:5000/a@b"),
        ("http://me:secret@host, then http://token@other", "http://host, then http://other"),
    ],
)
def test_no_user_and_no_password_is_shown(text: str, shown: str) -> None:
    assert without_password(text) == shown


@pytest.mark.parametrize(("token", "can"), [("abc-123", True), ("a b", False), ("a\n", False), ("λ", False)])
def test_a_token_is_one_word_of_ascii(token: str, can: bool) -> None:
    assert can_be_sent(token) is can


def test_the_trackers_token_is_stripped_and_an_invalid_one_is_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(TRACKING_TOKEN, raising=False)
    tidy_tracking_token()
    assert TRACKING_TOKEN not in os.environ
    monkeypatch.setenv(TRACKING_TOKEN, " abc\n")
    tidy_tracking_token()
    assert os.environ[TRACKING_TOKEN] == "abc"
    monkeypatch.setenv(TRACKING_TOKEN, "two words")
    with pytest.raises(UsageError, match=f"{TRACKING_TOKEN} contains whitespace") as error:
        tidy_tracking_token()
    assert "two" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "kept", "targets"),
    [
        (["run", "a", "--notify", "x", "--json"], ["run", "a", "--json"], ["x"]),
        (["run", "--notify=x=y", "a", "--notify", "z"], ["run", "a"], ["x=y", "z"]),
        (["run", "--", "--notify", "a"], ["run", "--", "--notify", "a"], []),
        (["run", "--notify"], ["run", "--notify"], []),
        ([], [], []),
    ],
)
def test_notification_targets_are_taken_from_a_command_line(
    words: list[str], kept: list[str], targets: list[str]
) -> None:
    assert without_notify(words) == (kept, targets)
