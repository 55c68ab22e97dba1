"""Everything from a cluster is checked: names, and replies of any shape."""

import contextlib
import io
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import ray

from tests.tune_jobs.cli.invoking import invoke
from tune_jobs.cluster import gate
from tune_jobs.cluster.gate import JobReply, Probed, command_of, read_reply
from tune_jobs.cluster.job_result import MARK, Receiver
from tune_jobs.errors import ClusterError, SweepError

HEAD = "http://head:8265"
NAMES = {
    "absolute": "/etc/outside",
    "a way up": "../outside",
    "two dots": "..",
    "NUL": "a\0b",
    "very long": "a" * 101,
    "empty": "",
    "a newline": "mine\n",
    "an option": "--storage",
    "an escape sequence": "a\x1b[2Jb",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_job_cannot_have_an_invalid_sweep_name(name: str) -> None:
    with pytest.raises(ClusterError) as caught:
        command_of("raysubmit_1", {"convnn": "command", "sweep": name, "command": "run"}, HEAD)
    assert HEAD in str(caught.value)
    assert "'raysubmit_1', sweep: " in str(caught.value)
    assert "a sweep's name is a name of at most 100 letters" in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_job_with_a_valid_sweep_name_passes() -> None:
    found = command_of("raysubmit_1", {"convnn": "command", "sweep": "mine-2.0", "command": "run"}, HEAD)
    assert (found.sweep, found.command, found.storage) == ("mine-2.0", "run", "")


MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "not JSON": b"<html>login</html>",
    "cut off": b'[{"submission_id": "a", "sta',
    "another type": b'{"jobs": []}',
    "a field's type": b'[{"submission_id": "a", "status": 7}]',
    "a missing field": b'[{"submission_id": "a"}]',
    "a null": b"null",
    "deep": b"[" * 100_000,
    "not a number": b'[{"submission_id": "a", "status": "FAILED", "start_time": NaN}]',
    "lone surrogate": b'[{"submission_id": "a", "status": "FAILED", "message": "\\ud800"}]',
    "not UTF-8": b'[{"submission_id": "\xff"}]',
    "invalid metadata": b'[{"submission_id": "a", "status": "FAILED", "metadata": {"sweep": ["a"]}}]',
    "an escape sequence": b'[{"submission_id": "a", "status": "\\u001b[2J"}]',
}


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_reply_is_one_line_that_names_the_address(content: bytes) -> None:
    with pytest.raises(ClusterError) as caught:
        read_reply(list[JobReply], content, HEAD)
    assert str(caught.value).startswith(f"the cluster at {HEAD} sent data that cannot be used: ")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_a_huge_reply_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "LARGEST_REPLY", 2 * 2**20)
    with pytest.raises(ClusterError, match="more than 2 MiB"):
        read_reply(list[JobReply], b" " * (2 * 2**20 + 1), HEAD)


@contextlib.contextmanager
def saying(replies: dict[str, bytes]) -> Iterator[str]:
    """Serve these answers, by path; yield the server's address."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = replies.get(self.path, b"")
            self.send_response(200 if self.path in replies else 404)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


VERSION = json.dumps({"version": "4", "ray_version": ray.__version__, "ray_commit": ""}).encode()


def one_line(said: str, address: str) -> None:
    lines = [line for line in said.strip().splitlines() if not line.startswith(("copying", "asking"))]
    assert len(lines) == 1, said
    assert address in lines[0]


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED)
def test_every_command_reports_a_malformed_list_of_jobs_in_one_line(tmp_path: Path, content: bytes) -> None:
    with saying({"/api/version": VERSION, "/api/jobs/": content}) as address:
        for command in (["status", "mine"], ["fetch", "mine"], ["show", "mine"], ["list"], ["stop", "mine"]):
            one_line(invoke(*command, "--address", address, storage=tmp_path / "s", expect=4), address)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED)
def test_a_server_that_is_not_ray_is_reported_in_one_line(tmp_path: Path, content: bytes) -> None:
    with saying({"/api/version": content}) as address:
        one_line(invoke("status", "mine", "--address", address, storage=tmp_path, expect=4), address)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_hostile_job_is_refused_on_request_and_hides_no_other_job(tmp_path: Path, name: str) -> None:
    def job(job_id: str, sweep: str) -> dict[str, Any]:
        metadata = {"convnn": "command", "sweep": sweep, "command": "run", "storage": ""}
        return {"submission_id": job_id, "status": "FAILED", "metadata": metadata}

    jobs = [job("raysubmit_1", name), job("raysubmit_2", "mine")]
    replies = {
        "/api/version": VERSION,
        "/api/jobs/": json.dumps(jobs).encode(),
        "/api/jobs/raysubmit_2/logs": b'{"logs": "hello"}',
    }
    with saying(replies) as address:
        for command in ("fetch", "show", "best", "report", "status", "logs", "stop", "resume"):
            said = invoke(command, "raysubmit_1", "--address", address, storage=tmp_path / "s", expect=4)
            one_line(said, address)
        assert invoke("logs", "mine", "--address", address, storage=tmp_path / "s") == "hello"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["/etc/outside", "../outside", "a" * 101])
def test_a_name_on_the_command_line_is_checked_the_same_way(tmp_path: Path, name: str) -> None:
    with saying({"/api/version": VERSION, "/api/jobs/": b"[]"}) as address:
        said = invoke("fetch", name, "--address", address, storage=tmp_path / "s", expect=2)
    assert "a sweep's name is a name of at most 100 letters" in said
    assert list(tmp_path.iterdir()) == []


NODE: dict[str, Any] = {
    "node_id": "1",
    "host": "head",
    "address": "10.0.0.1",
    "resources": {"CPU": 2.0, "GPU": 0.0, "memory": 1e9},
    "error": None,
    "python": "3.11.4",
    "versions": {"torch": "2.4.0+cpu", "ray": None},
    "code": None,
    "image": None,
    "sees_storage": True,
    "writes_storage": True,
    "gpus": {"there": 0, "torch": []},
    "data": [],
}
REPORT = {"ray": "2.40.0", "storage": {"path": "/s", "error": None, "free_gb": 3.0}, "nodes": [NODE]}


def test_a_valid_probe_passes() -> None:
    silent = {name: NODE[name] for name in ("node_id", "host", "address", "resources")} | {
        "error": "it does not answer"
    }
    found = read_reply(Probed, json.dumps({**REPORT, "nodes": [NODE, silent]}), HEAD).model_dump()
    assert found == {**REPORT, "nodes": [NODE, silent], "tracker": None}


@pytest.mark.parametrize(
    "change",
    [
        lambda report: report["nodes"].clear(),
        lambda report: report["nodes"][0].pop("gpus"),
        lambda report: report["nodes"][0]["versions"].update(torch="new"),
        lambda report: report["nodes"][0]["resources"].update(CPU="many"),
        lambda report: report["nodes"][0]["data"].append({"name": "a", "root": None, "digests": None, "error": None}),
        lambda report: report["storage"].update(free_gb=None),
        lambda report: report.update(tracker={"check": "tracker"}),
    ],
)
def test_an_incomplete_probe_is_refused(change: Callable[[Any], object]) -> None:
    report = json.loads(json.dumps(REPORT))
    change(report)
    with pytest.raises(ClusterError, match=f"the cluster at {HEAD} sent data that cannot be used"):
        read_reply(Probed, json.dumps(report), HEAD)


@pytest.mark.parametrize(
    "line",
    [
        "part ===",
        "end AAAA",
        "song AAAA",
        "error AAAA",
        "error eyJraW5kIjogNywgIm1lc3NhZ2UiOiAiYSJ9",  # {"kind": 7, "message": "a"}
    ],
)
def test_an_invalid_line_of_a_result_is_an_error(line: str) -> None:
    with pytest.raises(ClusterError, match=HEAD):
        Receiver(io.BytesIO(), HEAD).take(f"{MARK} {line}\n")


def test_an_error_of_an_unknown_kind_is_an_error() -> None:
    content = "eyJraW5kIjogIl9fbmFtZV9fIiwgIm1lc3NhZ2UiOiAiYSJ9"  # {"kind": "__name__", "message": "a"}
    with pytest.raises(SweepError, match=r"^a$"):
        Receiver(io.BytesIO(), HEAD).take(f"{MARK} error {content}\n")


def test_a_result_is_accepted_up_to_its_limit() -> None:
    into = io.BytesIO()
    receiver = Receiver(into, HEAD, most=5)
    receiver.take(f"{MARK} part QUFB\n")
    with pytest.raises(ClusterError, match="larger than the"):
        receiver.take(f"{MARK} part QUFB\n")
    assert into.getvalue() == b"AAA"
