"""Check that a tracker accepts requests, and name the fix if it does not."""

import base64
import os
import re
import socket
import ssl
import warnings
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from tune_jobs.doctor.finding import Finding
from tune_jobs.errors import UsageError
from tune_jobs.system.redaction import TRACKING_TOKEN, tidy_tracking_token, without_password
from tune_jobs.tracking.address import absolute, misspelt, store_of

TRACKER_S = 15.0
_FORBIDDEN, _UNAUTHORIZED, _NOT_FOUND, _SERVER = 403, 401, 404, 500


def check_tracker(uri: str) -> Finding:
    """Check that MLflow at `uri` accepts requests, with a real one: `/health` answers even where the API refuses.

    The request is sent as MLflow sends it: by the same library, with the same user, token and trusted certificates.
    """
    if not uri.startswith(("http://", "https://")):
        return _check_store(uri)
    import requests

    address = f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/search"
    try:
        tidy_tracking_token()
        with warnings.catch_warnings(action="ignore"):  # if certificates are not verified
            answer = requests.post(
                address, json={"max_results": 1}, headers=_credentials(), timeout=TRACKER_S, **_certificates()
            )
    except UsageError as error:
        return Finding("tracker", ok=False, says=str(error))
    except (OSError, ValueError) as error:
        return _unreachable(uri, error)
    if not answer.ok:
        return _refused(uri, answer.status_code, answer.text[:2000])
    try:
        answer.json()
    except ValueError:
        return _refused(uri, _NOT_FOUND, "")
    return Finding("tracker", ok=True, says=f"{without_password(uri)} answers")


def _check_store(uri: str) -> Finding:
    if re.match(r"(postgresql|mysql|mssql)[+:]", uri):
        return Finding(
            "tracker", ok=True, says=f"{without_password(uri)} is a database that MLflow opens itself (not checked)"
        )
    path = store_of(absolute(uri)) if uri.startswith(("sqlite:///", "file:", "/", "./", "../", "~")) else None
    if path is None:
        fix = misspelt(uri) or "write http://host:5000, or sqlite:////path/to/mlflow.db"
        return Finding("tracker", ok=False, says=f"{without_password(uri)} is not a valid tracking URI", fix=fix)
    place = next(parent for parent in (path, *path.parents) if parent.exists())
    if not os.access(place, os.W_OK):
        return Finding("tracker", ok=False, says=f"{path}: {place} is not writable", fix=f"chmod u+w {place}")
    return Finding("tracker", ok=True, says=f"{path} is writable")


def _refused(uri: str, code: int, text: str) -> Finding:
    user, _, host = urlsplit(uri).netloc.rpartition("@")
    uri = without_password(uri)
    if code == _FORBIDDEN and "host" in text.lower():
        says = f"{uri} answers, but refuses requests for the host {host} (its /health does not)"
        fix = f"start it with: mlflow server --allowed-hosts {host} ..."
    elif code == _UNAUTHORIZED and (_credentials() or user):
        says, fix = f"{uri} refuses the user or the password", "set MLFLOW_TRACKING_USERNAME and _PASSWORD again"
    elif code == _UNAUTHORIZED:
        says = f"{uri} requires a user and a password, and none is set"
        fix = "export MLFLOW_TRACKING_USERNAME=... MLFLOW_TRACKING_PASSWORD=..."
    elif code == _FORBIDDEN:
        says, fix = f"{uri} denies access to this user", "ask its owner for permission to read and create experiments"
    elif code == _NOT_FOUND:
        says, fix = (
            f"{uri} answers, but is not an MLflow server",
            "set tracking.uri or MLFLOW_TRACKING_URI to its address",
        )
    elif code >= _SERVER:
        says, fix = f"{uri} fails with HTTP {code}", "read the server's log; is its database running?"
    else:
        says, fix = f"{uri} answers with HTTP {code}", "set tracking.uri or MLFLOW_TRACKING_URI to MLflow's address"
    return Finding("tracker", ok=False, says=says, fix=fix)


def _unreachable(uri: str, error: Exception) -> Finding:
    import requests

    found, port = list(_causes(error)), _port(uri)
    fix = "correct tracking.uri or MLFLOW_TRACKING_URI"
    if isinstance(error, requests.Timeout):
        says, fix = f"no answer within {TRACKER_S:g} s", f"mlflow server --port {port}, or {fix}"
    elif any(isinstance(cause, socket.gaierror) for cause in found):
        says = "no host has that name"
    elif refusal := next((cause for cause in found if isinstance(cause, ssl.SSLError)), None):
        says = refusal.strerror or type(refusal).__name__
        fix = "set MLFLOW_TRACKING_SERVER_CERT_PATH to its CA's file, or use http:// if the server has no certificate"
    elif isinstance(error, ValueError) or port is None:  # its text contains the address, and so a password
        says = "this is not a valid address"
    elif not isinstance(error, requests.RequestException):  # about a certificate file
        says, fix = str(error), "correct MLFLOW_TRACKING_SERVER_CERT_PATH, _CLIENT_CERT_PATH or REQUESTS_CA_BUNDLE"
    else:
        says = next(
            (cause.strerror for cause in found if isinstance(cause, OSError) and cause.strerror), str(found[-1])
        )
        fix = f"mlflow server --port {port}, or {fix}"
    return Finding("tracker", ok=False, says=f"{without_password(uri)}: {says}", fix=fix)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes, the outermost first: libraries wrap each other's errors."""
    while error is not None:
        yield error
        inside = next((part for part in error.args if isinstance(part, BaseException)), None)
        error = error.__cause__ or error.__context__ or inside


def _port(uri: str) -> int | None:
    try:
        return urlsplit(uri).port or 5000
    except ValueError:
        return None


def _credentials() -> dict[str, str]:
    """Return the credentials that MLflow sends; a user and password take precedence over a token."""
    user, password = (os.environ.get(f"MLFLOW_TRACKING_{name}") for name in ("USERNAME", "PASSWORD"))
    if user and password:
        return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}
    token = os.environ.get(TRACKING_TOKEN)
    return {"Authorization": f"Bearer {token}"} if token else {}


def _certificates() -> dict[str, Any]:
    """Return the server certificates that MLflow trusts besides REQUESTS_CA_BUNDLE, and its client certificate."""
    insecure = os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1")
    trusted = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH")
    return {"verify": trusted or not insecure, "cert": os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH")}
