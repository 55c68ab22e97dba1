"""`convnn doctor` on this machine, against servers and folders that are really broken."""

import http.server
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.tune_jobs.program import convnn
from tests.tune_jobs.servers import free_port
from tune_jobs import checks
from tune_jobs.checks import check_tracker


@contextmanager
def answering(status: int, text: str) -> Iterator[str]:
    """A server that answers every request alike."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "text", "said", "mend"),
    [
        (404, "<html>not here</html>", "is no MLflow server", "MLFLOW_TRACKING_URI"),
        (500, "", "fails with HTTP 500", "its database"),
        (401, "", "asks for a user and a password", "MLFLOW_TRACKING_USERNAME"),
        (403, "Permission denied", "forbids it to this user", "ask its owner"),
    ],
)
def test_what_a_tracker_answers_is_told_apart(status: int, text: str, said: str, mend: str) -> None:
    with answering(status, text) as uri:
        found = check_tracker(uri)
    assert not found.ok
    assert said in found.says
    assert mend in (found.mend or "")


def test_a_wrong_password_is_not_a_missing_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    with answering(401, "") as uri:
        assert "refuses the user or the password" in check_tracker(uri).says


def test_a_tracker_that_is_down_or_silent_or_nowhere_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    down = check_tracker(f"http://127.0.0.1:{free_port()}")
    assert "Connection refused" in down.says
    assert "mlflow server --port" in (down.mend or "")
    monkeypatch.setattr(checks, "TRACKER_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "no answer within 0.5 s" in check_tracker(f"http://127.0.0.1:{silent.getsockname()[1]}").says
    assert "is no address of a tracker" in check_tracker("mlflow:5000").says


def test_doctor_says_a_line_for_each_check_and_what_mends_it(tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    said = convnn(
        "doctor",
        "quickstart",
        "--set",
        "resources.gpus_per_trial=1",
        storage=tmp_path / "a file" / "sweeps",
        MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}",
        CUDA_VISIBLE_DEVICES="",
        expect=1,
    )
    lines = {line.split()[1]: line for line in said.splitlines()}
    assert list(lines) == ["versions", "storage", "data", "gpu", "tracker"]
    assert lines["versions"].startswith("ok")
    assert lines["data"].startswith("ok")
    for check, mend in (("storage", "--storage"), ("gpu", "resources.gpus_per_trial: 0"), ("tracker", "mlflow server")):
        assert lines[check].startswith("FAIL")
        assert mend in lines[check]


def test_doctor_finds_nothing_where_nothing_is_wrong(tmp_path: Path) -> None:
    assert "FAIL" not in convnn("doctor", "quickstart", storage=tmp_path)


def test_a_package_of_another_version_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "optuna-4.1.0.dist-info"
    wrong.mkdir()
    (wrong / "METADATA").write_text("Metadata-Version: 2.1\nName: optuna\nVersion: 4.1.0\n")
    script = "from tune_jobs.checks import versions_here, wrong_versions; print(*wrong_versions(versions_here()))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.stdout.strip() == "optuna is 4.1.0, needed is <6,>=5"
