"""Authentication to a cluster: the user in its address, or a token from the same places as Ray's."""

import base64
import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from tune_jobs.errors import UsageError
from tune_jobs.system.redaction import can_be_sent

UNAUTHORIZED, FORBIDDEN = 401, 403


_HOST = re.compile(r"(?:ray://)?([A-Za-z0-9][\w.-]*)(?::[0-9]+)?")


def is_cluster(address: str | None) -> bool:
    """Whether an address is that of a Ray Jobs API, as in http://head:8265, not of a Ray to connect to."""
    return address is not None and address.startswith(("http://", "https://"))


def split_user(address: str) -> tuple[str, str]:
    """Split a dashboard's address into the address without user and password, and these two.

    Raises:
        UsageError: If it is not such an address.
    """
    try:
        parts = urlsplit(address)
        known = is_cluster(address) and bool(parts.hostname) and parts.port != 0
        (parts.hostname or "").encode("idna")
    except ValueError:
        known = False
    if not known:
        shown = address.rpartition("@")[2]
        bare = _HOST.fullmatch(shown)
        way_out = f"; write http://{bare[1]}:8265" if bare else ""
        raise UsageError(
            f"--address must be the URL of the cluster's dashboard, as in http://head:8265, got {shown!r}{way_out}."
        )
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=host)).rstrip("/"), user


def authorization(user: str) -> dict[str, str]:
    """Return the HTTP header for authentication: the user and password of the address, else a token."""
    if user:
        return {"Authorization": f"Basic {base64.b64encode(unquote(user).encode()).decode()}"}
    token = _token()
    return {"Authorization": f"Bearer {token}"} if token else {}


def refusal(address: str, code: int) -> str:
    """Explain an HTTP status from the cluster at `address`, and how to fix it."""
    if code == UNAUTHORIZED:
        return (
            f"the cluster at {address} requires a token, and none is set; set RAY_AUTH_TOKEN_PATH to a file that holds "
            f"it (run `ray get-auth-token` on the cluster to get it), or set RAY_AUTH_TOKEN."
        )
    if code == FORBIDDEN:
        return (
            f"the cluster at {address} refuses the token from {_token_source()}; use the cluster's own token (run "
            f"`ray get-auth-token` there)."
        )
    return f"{address} answers with HTTP {code}, unlike Ray's dashboard; check that the address is right."


def _token() -> str | None:
    """Return the token to send, from the same places as Ray's; `None` without one.

    Raises:
        UsageError: If its file cannot be read, a required token is missing, or the token cannot be sent.
    """
    if os.environ.get("RAY_AUTH_MODE", "token") != "token":
        return None
    if token := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return _sendable(token, "RAY_AUTH_TOKEN")
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named).expanduser() if named else _default_token()
    try:
        token = path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        if named:
            raise UsageError(
                f"RAY_AUTH_TOKEN_PATH names {path}, which cannot be read: {error.strerror}; correct the path."
            ) from error
        token = ""
    if not token and (named or "RAY_AUTH_MODE" in os.environ):
        raise UsageError(
            f"RAY_AUTH_MODE=token requires a token, but RAY_AUTH_TOKEN and {path} have none; set it to the cluster's "
            f"own token (run `ray get-auth-token` there)."
        )
    # Without RAY_AUTH_MODE, the token in the home folder may be another cluster's. Like Ray's client, do not send it.
    return _sendable(token, str(path)) if named or "RAY_AUTH_MODE" in os.environ else None


def _sendable(token: str, source: str) -> str:
    if not can_be_sent(token):
        raise UsageError(
            f"{source} contains whitespace or non-ASCII characters, which are not allowed in a token; set it to the "
            f"cluster's own token (run `ray get-auth-token` there)."
        )
    return token


def _token_source() -> str:
    if os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return "RAY_AUTH_TOKEN"
    return str(os.environ.get("RAY_AUTH_TOKEN_PATH") or _default_token())


def _default_token() -> Path:
    return Path("~/.ray/auth_token").expanduser()
