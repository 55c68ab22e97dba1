"""Whether a tracker takes requests, and what mends it if not."""

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
    """Whether MLflow at `uri` takes requests: a real one is made, since `/health` answers where the API refuses.

    It is made as MLflow makes its own: by the same library, with the same user, token and trust in certificates.
    """
    if not uri.startswith(("http://", "https://")):
        return _check_store(uri)
    import requests

    address = f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/search"
    try:
        tidy_tracking_token()
        with warnings.catch_warnings(action="ignore"):  # where certificates are not to be verified
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
            "tracker", ok=True, says=f"{without_password(uri)} is a database, which MLflow opens itself (not looked at)"
        )
    path = store_of(absolute(uri)) if uri.startswith(("sqlite:///", "file:", "/", "./", "../", "~")) else None
    if path is None:
        mend = misspelt(uri) or "write http://host:5000, or sqlite:////path/to/mlflow.db"
        return Finding("tracker", ok=False, says=f"{without_password(uri)} is not a valid tracking URI", mend=mend)
    place = next(parent for parent in (path, *path.parents) if parent.exists())
    if not os.access(place, os.W_OK):
        return Finding("tracker", ok=False, says=f"{path}: {place} cannot be written", mend=f"chmod u+w {place}")
    return Finding("tracker", ok=True, says=f"{path} can be written")


def _refused(uri: str, code: int, text: str) -> Finding:
    user, _, host = urlsplit(uri).netloc.rpartition("@")
    uri = without_password(uri)
    if code == _FORBIDDEN and "host" in text.lower():
        says = f"{uri} answers, but refuses requests for the host {host} (its /health would not)"
        mend = f"start it with: mlflow server --allowed-hosts {host} ..."
    elif code == _UNAUTHORIZED and (_credentials() or user):
        says, mend = f"{uri} refuses the user or the password", "set MLFLOW_TRACKING_USERNAME and _PASSWORD anew"
    elif code == _UNAUTHORIZED:
        says = f"{uri} asks for a user and a password, and none is set"
        mend = "export MLFLOW_TRACKING_USERNAME=... MLFLOW_TRACKING_PASSWORD=..."
    elif code == _FORBIDDEN:
        says, mend = f"{uri} forbids it to this user", "ask its owner for the right to read and make experiments"
    elif code == _NOT_FOUND:
        says, mend = f"{uri} answers, but is no MLflow server", "set tracking.uri or MLFLOW_TRACKING_URI to its address"
    elif code >= _SERVER:
        says, mend = f"{uri} fails with HTTP {code}", "look at the server's own log; is its database up?"
    else:
        says, mend = f"{uri} answers with HTTP {code}", "set tracking.uri or MLFLOW_TRACKING_URI to MLflow's address"
    return Finding("tracker", ok=False, says=says, mend=mend)


def _unreachable(uri: str, error: Exception) -> Finding:
    import requests

    found, port = list(_causes(error)), _port(uri)
    mend = "correct tracking.uri or MLFLOW_TRACKING_URI"
    if isinstance(error, requests.Timeout):
        says, mend = f"no answer within {TRACKER_S:g} s", f"mlflow server --port {port}, or {mend}"
    elif any(isinstance(cause, socket.gaierror) for cause in found):
        says = "there is no host of that name"
    elif refusal := next((cause for cause in found if isinstance(cause, ssl.SSLError)), None):
        says = refusal.strerror or type(refusal).__name__
        mend = "name its CA's file in MLFLOW_TRACKING_SERVER_CERT_PATH, or use http:// if the server has no certificate"
    elif isinstance(error, ValueError) or port is None:  # it has the address in it, and with that a password
        says = "that is no address, or not one to ask"
    elif not isinstance(error, requests.RequestException):  # of a file of certificates
        says, mend = str(error), "correct MLFLOW_TRACKING_SERVER_CERT_PATH, _CLIENT_CERT_PATH or REQUESTS_CA_BUNDLE"
    else:
        says = next(
            (cause.strerror for cause in found if isinstance(cause, OSError) and cause.strerror), str(found[-1])
        )
        mend = f"mlflow server --port {port}, or {mend}"
    return Finding("tracker", ok=False, says=f"{without_password(uri)}: {says}", mend=mend)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it comes from, one after the other: libraries wrap each other's."""
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
    """What MLflow sends: a user and password come before a token."""
    user, password = (os.environ.get(f"MLFLOW_TRACKING_{name}") for name in ("USERNAME", "PASSWORD"))
    if user and password:
        return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}
    token = os.environ.get(TRACKING_TOKEN)
    return {"Authorization": f"Bearer {token}"} if token else {}


def _certificates() -> dict[str, Any]:
    """By what MLflow trusts a server, beside REQUESTS_CA_BUNDLE, and shows itself to it."""
    insecure = os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1")
    trusted = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH")
    return {"verify": trusted or not insecure, "cert": os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH")}
