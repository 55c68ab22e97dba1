"""A tracker is checked with the requests that MLflow sends, on servers and folders that are really broken."""

import base64
import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.tune_jobs.servers import free_port
from tune_jobs.doctor import tracker
from tune_jobs.doctor.tracker import check_tracker

HIDDEN = "s3cr3t"


@contextmanager
def answering(status: int, text: str, heard: list[str | None] | None = None, pem: Path | None = None) -> Iterator[str]:
    """Serve the same answer to every request, with a certificate if given; `heard` collects who asked."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if heard is not None:
                heard.append(self.headers["Authorization"])
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if pem is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pem)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http{'s' if pem else ''}://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that no public authority has signed, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a company")])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
    signed = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    formats = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    place = tmp_path_factory.mktemp("tls") / "server.pem"
    place.write_bytes(key.private_bytes(*formats) + signed)
    return place


@pytest.mark.parametrize(
    ("status", "text", "said", "fix"),
    [
        (200, "<html>hello</html>", "is not an MLflow server", "MLFLOW_TRACKING_URI"),
        (404, "<html>not here</html>", "is not an MLflow server", "MLFLOW_TRACKING_URI"),
        (500, "", "fails with HTTP 500", "its database"),
        (401, "", "requires a user and a password", "MLFLOW_TRACKING_USERNAME"),
        (403, "Permission denied", "denies access to this user", "ask its owner"),
    ],
)
def test_each_answer_of_a_tracker_has_its_own_message(status: int, text: str, said: str, fix: str) -> None:
    with answering(status, text) as uri:
        found = check_tracker(uri)
    assert not found.ok
    assert said in found.says
    assert fix in (found.fix or "")


def test_a_wrong_password_is_not_reported_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(401, "") as uri:
        assert "refuses the user or the password" in check_tracker(uri.replace("://", f"://me:{HIDDEN}@")).says
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", HIDDEN)
        assert "refuses the user or the password" in check_tracker(uri).says


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REQUESTS_CA_BUNDLE", None),
        ("MLFLOW_TRACKING_SERVER_CERT_PATH", None),
        ("MLFLOW_TRACKING_INSECURE_TLS", "true"),
    ],
)
def test_a_certificate_is_trusted_if_mlflow_trusts_it(
    pem: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str | None
) -> None:
    with answering(200, "{}", pem=pem) as uri:
        refused = check_tracker(uri)
        assert "certificate verify failed" in refused.says
        assert "MLFLOW_TRACKING_SERVER_CERT_PATH" in (refused.fix or "")
        monkeypatch.setenv(name, value or str(pem))
        assert check_tracker(uri).ok


def test_a_missing_certificate_file_is_named(pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", "/nowhere/ca.pem")
    with answering(200, "{}", pem=pem) as uri:
        found = check_tracker(uri)
    assert "/nowhere/ca.pem" in found.says
    assert "MLFLOW_TRACKING_SERVER_CERT_PATH" in (found.fix or "")


def test_the_user_in_an_address_is_sent_and_not_shown() -> None:
    heard: list[str | None] = []
    with answering(200, "{}", heard) as uri:
        found = check_tracker(uri.replace("://", f"://me:{HIDDEN}%40@"))
    assert found.says == f"{uri} answers"
    assert heard == [f"Basic {base64.b64encode(f'me:{HIDDEN}@'.encode()).decode()}"]


@pytest.mark.parametrize(
    "uri",
    [
        f"http://me:{HIDDEN}@127.0.0.1",
        f"http://me:{HIDDEN}@127.0.0.1:1",
        f"http://me:{HIDDEN}@127.0.0.1:x",
        f"http://me:{HIDDEN}@[",
        f"http://me:{HIDDEN}@a..b",
        f"http://me:x@{HIDDEN}@127.0.0.1:x",
        f"http://me:x/{HIDDEN}@127.0.0.1",
        f"postgresql://me:x/{HIDDEN}@127.0.0.1/mlflow",
        f"ftp://me:{HIDDEN}@127.0.0.1",
    ],
)
def test_the_password_in_an_address_is_never_shown(uri: str) -> None:
    assert HIDDEN not in str(check_tracker(uri))


def test_a_token_is_sent_without_the_line_break_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", f"{HIDDEN}\n")
    heard: list[str | None] = []
    with answering(200, "{}", heard) as uri:
        assert check_tracker(uri).ok
    assert heard == [f"Bearer {HIDDEN}"]


@pytest.mark.parametrize("token", [f"{HIDDEN}\nline", f"{HIDDEN} {HIDDEN}", f"{HIDDEN}\u20ac"])
def test_a_token_that_cannot_be_sent_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", token)
    found = check_tracker(f"http://127.0.0.1:{free_port()}")
    assert not found.ok
    assert "MLFLOW_TRACKING_TOKEN contains whitespace" in found.says
    assert HIDDEN not in str(found)


@pytest.mark.parametrize(("uri", "name"), [("sqlite:///mine.db", "mine.db"), ("./runs", "runs")])
def test_a_relative_store_is_checked_where_a_sweep_would_create_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert check_tracker(uri).says == f"{tmp_path / name} is writable"


def test_a_tracker_that_is_down_or_silent_or_has_no_valid_address_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    down = check_tracker(f"http://127.0.0.1:{free_port()}")
    assert "Connection refused" in down.says
    assert "mlflow server --port" in (down.fix or "")
    monkeypatch.setattr(tracker, "TRACKER_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "no answer within 0.5 s" in check_tracker(f"http://127.0.0.1:{silent.getsockname()[1]}").says
    assert "is not a valid tracking URI" in check_tracker("mlflow:5000").says
