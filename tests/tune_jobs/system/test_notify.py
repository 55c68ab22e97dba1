import json
import shlex
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.tune_jobs.webhook import SECRET, webhook
from tune_jobs.errors import UsageError
from tune_jobs.system.notify import NOTIFY_S, Notification, require_target

NO_PROGRAM = "Add https://, or write a program's path from / or ./."
CONTENT = {"text": "λ has ended", "best": float("nan")}


def test_an_address_receives_json() -> None:
    with webhook() as hook:
        assert Notification(hook.address, CONTENT).failure() is None
        assert hook.posted == [{"text": "λ has ended", "best": None}]


def test_a_command_receives_json_on_standard_input(tmp_path: Path) -> None:
    command = f"sh -c 'cat > \"$1\"' - {shlex.quote(str(tmp_path / 'the message'))}"
    assert Notification(command, CONTENT).failure() is None
    assert json.loads((tmp_path / "the message").read_text())["text"] == "λ has ended"


@pytest.mark.parametrize("status", [302, 404, 500])
def test_an_error_status_or_redirect_is_a_failure(status: int) -> None:
    with webhook() as hook:
        hook.status = status
        assert Notification(hook.address, CONTENT).failure() == f"the address answered with status {status}"
        assert len(hook.posted) == 1


def test_a_hanging_target_is_given_up_after_five_seconds(tmp_path: Path) -> None:
    with webhook() as hook:
        hook.hangs = threading.Event()
        started = time.monotonic()
        command = f"sh -c 'sleep 60; touch {tmp_path}/late'"
        both = [Notification(hook.address, CONTENT), Notification(command, CONTENT)]
        said = [each.failure() for each in both]
        assert time.monotonic() - started < NOTIFY_S + 5
    assert said[1] == "the command did not end within 5 s and was killed"
    assert said[0] in ("no answer within 5 s", "ReadTimeout")


def test_no_failure_shows_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for target in (f"http://127.0.0.1:{port}/{SECRET}", f"http://[{SECRET}", f"{sys.executable}-missing {SECRET}"):
        failure = Notification(target, CONTENT).failure()
        assert failure
        assert SECRET not in failure


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (f"htps://host/{SECRET}", "got an address that starts with htps://."),
        (f"mail '{SECRET}", "it contains an unclosed quotation mark."),
        (" ", "it is empty."),
        (f"hooks.example/services/{SECRET}", NO_PROGRAM),
        (f"TOKEN={SECRET} curl host", NO_PROGRAM),
        (f"{SECRET}=://host", NO_PROGRAM),
        (f"https:///{SECRET}", "the address has no host."),
        (f"http://[{SECRET}", "the address is not valid."),
    ],
)
@pytest.mark.parametrize("here", [True, False])
def test_an_invalid_target_is_refused_without_showing_it(target: str, said: str, here: bool) -> None:
    with pytest.raises(UsageError, match="must be an http:// or https:// address, or a command") as refused:
        require_target(target, here=here)
    assert str(refused.value).endswith(said)
    assert SECRET not in str(refused.value)


def test_a_missing_program_is_refused_only_on_this_machine() -> None:
    for target in (SECRET, f"./{SECRET}", f"~/{SECRET} me"):
        require_target(target, here=False)
        with pytest.raises(UsageError, match="its program was not found: give the program's path") as refused:
            require_target(target)
        assert SECRET not in str(refused.value)
