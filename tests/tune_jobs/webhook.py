"""A web server that records the messages posted to it."""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "s3cret-of-the-webhook"  # noqa: S105 - not a real one


@dataclass
class Webhook:
    """The received messages, and the answer."""

    address: str = ""
    posted: list[dict[str, Any]] = field(default_factory=list)
    status: int = 204
    hangs: threading.Event | None = None
    """The server answers after this is set."""


@contextlib.contextmanager
def webhook() -> Iterator[Webhook]:
    """Yield a webhook on a free port; its path is secret."""
    found = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/json"
            found.posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if found.hangs is not None:
                found.hangs.wait(30)
            self.send_response(found.status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.address = f"http://user:{SECRET}@127.0.0.1:{server.server_address[1]}/{SECRET}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield found
        finally:
            if found.hangs is not None:
                found.hangs.set()
            server.shutdown()
