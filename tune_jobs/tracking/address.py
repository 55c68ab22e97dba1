"""Addresses of trackers: which tracker a sweep uses, and where its files are."""

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from tune_jobs.errors import UsageError
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.names import STORE
from tune_jobs.system.mounts import on_network
from tune_jobs.system.redaction import without_password

_SQLITE = "sqlite:///"
_FILE = "file:"
"""SQLAlchemy passes a database with this prefix to SQLite as a URI, in which any character may be escaped."""

_HOST_AND_PORT = re.compile(r"[\w.-]+:[0-9]+(/.*)?")

_ODD = {"?", "%"}
"""Characters with a special meaning in an address."""


def tracker_of(uri: str | None, folder: SweepFolder, ledger: Ledger, *, stays: bool = False) -> str:
    """Return the tracker: the file's uri, else MLFLOW_TRACKING_URI, else the one chosen before, else `default_store`.

    So a sweep stays in its tracker when somebody resumes it without setting the variable.

    Args:
        uri: The uri of the sweep's file.
        folder: The sweep's folder.
        ledger: The sweep's ledger.
        stays: Whether the variable applies to new sweeps only.

    Raises:
        UsageError: If the address in the file or the variable is invalid.
    """
    given = uri or (None if stays and ledger.meta.tracker else os.environ.get("MLFLOW_TRACKING_URI"))
    if given:
        require_address(uri)
    return absolute(given) if given else _chosen_before(ledger) or sqlite_uri(default_store(folder))


def require_address(uri: str | None) -> None:
    """Raise if the tracking address, from the file or else from MLFLOW_TRACKING_URI, is invalid.

    Raises:
        UsageError: With the address that was probably meant.
    """
    given = uri or os.environ.get("MLFLOW_TRACKING_URI")
    if given and (way_out := misspelt(given)):
        name = "tracking.uri" if uri else "MLFLOW_TRACKING_URI"
        raise UsageError(f"{name} is not a valid tracking URI, got {without_password(given)}; {way_out}.")


def misspelt(uri: str) -> str | None:
    """Return a fix for an address that MLflow would misread as a path, or not understand; `None` for any other."""
    if _HOST_AND_PORT.fullmatch(uri):
        return f"write http://{uri}"
    if uri.startswith("sqlite:") and not uri.startswith(_SQLITE):
        return "write sqlite:////path/to/mlflow.db, with four slashes before an absolute path"
    return None


def default_store(folder: SweepFolder) -> Path:
    """Return the SQLite store used when no tracker is named: one store for all sweeps of a storage folder.

    On a network file system, where SQLite's locks are unreliable, each sweep has a separate store.
    """
    storage = folder.path.parent
    return folder.store if on_network(storage) else storage / STORE


def is_default(uri: str, folder: SweepFolder) -> bool:
    """Whether a tracker is the store that a sweep uses when none is named."""
    return sqlite_file(uri) in (folder.store, folder.path.parent / STORE)


def artifacts_beside(uri: str, folder: SweepFolder) -> Path | None:
    """Return the folder for artifacts next to an SQLite store. No sweep in a storage folder can have its name."""
    store = sqlite_file(uri)
    return store and store.with_name(".mlflow-artifacts" if store.parent == folder.path.parent else "artifacts")


def artifacts_as_uri(uri: str, folder: SweepFolder) -> str | None:
    """Return that folder as the URI that MLflow stores for an experiment."""
    files = artifacts_beside(uri, folder)
    return files.as_uri() if files else None


def _chosen_before(ledger: Ledger) -> str | None:
    """Return the previous tracker, unless it was a default or no longer exists."""
    uri = ledger.meta.tracker
    store = store_of(uri) if uri else None
    if store is None:
        return uri
    # 0.1.0 did not record whether the tracker was chosen: its stores lay beside the ledger.
    unchosen = ledger.meta.tracker_is_default or SweepFolder(store.parent).ledger.exists()
    return None if unchosen or not store.exists() else uri


def absolute(uri: str) -> str:
    """Return a tracker's address with absolute paths, so that it is valid in every folder."""
    store = sqlite_file(uri)
    if store is not None:
        return uri if store.is_absolute() else sqlite_uri(store.absolute())
    return uri if "://" in uri or uri.startswith("file:") else Path(uri).expanduser().absolute().as_uri()


def is_relative(uri: str) -> bool:
    """Whether a tracker is given as a relative path."""
    store = sqlite_file(uri)
    if store is not None:
        return not store.is_absolute()
    return "://" not in uri and not uri.startswith("file:") and not Path(uri).expanduser().is_absolute()


def store_of(uri: str) -> Path | None:
    """Return the path of a tracker that is a file or a folder; `None` for a server."""
    return Path(unquote(urlsplit(uri).path)) if uri.startswith("file:") else sqlite_file(uri)


def sqlite_uri(path: Path) -> str:
    """Return the address of an SQLite store: a plain path if that is unambiguous, as in MLflow's documentation.

    Versions of SQLAlchemy differ in how they unescape addresses, so SQLAlchemy both writes and reads them.
    """
    plain = str(path)
    if not _ODD & set(plain):
        return f"{_SQLITE}{plain}"
    from sqlalchemy import URL

    return URL.create("sqlite", database=f"{_FILE}{quote(plain)}", query={"uri": "true"}).render_as_string()


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a tracker that is an SQLite store."""
    if not uri.startswith(_SQLITE):
        return None
    if not _ODD & set(uri):
        return Path(uri.removeprefix(_SQLITE))
    from sqlalchemy import make_url

    address = make_url(uri)
    database = address.database or ""
    if database.startswith(_FILE) and address.query.get("uri") == "true":
        return Path(unquote(database.removeprefix(_FILE)))
    return Path(database)
