"""Addresses of trackers: which one a sweep has, and where it lies."""

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
"""A database that begins so, SQLAlchemy hands to SQLite as a URI, in which anything may be escaped."""

_HOST_AND_PORT = re.compile(r"[\w.-]+:[0-9]+(/.*)?")

_ODD = {"?", "%"}
"""What has a meaning of its own in an address."""


def tracker_of(uri: str | None, folder: SweepFolder, ledger: Ledger, *, stays: bool = False) -> str:
    """Where to ship: the file's uri, else MLFLOW_TRACKING_URI, else where somebody chose before, else `default_store`.

    So a sweep stays where it is when somebody goes on with it who has not set the variable.

    Args:
        uri: The file's.
        folder: The sweep's.
        ledger: Its ledger.
        stays: Whether the variable is for new sweeps alone.

    Raises:
        UsageError: If the file's or the variable's is misspelt.
    """
    given = uri or (None if stays and ledger.meta.tracker else os.environ.get("MLFLOW_TRACKING_URI"))
    if given:
        require_address(uri)
    return absolute(given) if given else _chosen_before(ledger) or sqlite_uri(default_store(folder))


def require_address(uri: str | None) -> None:
    """Refuse a tracker, the file's or else that of MLFLOW_TRACKING_URI, whose address is misspelt.

    Raises:
        UsageError: With the address that was meant.
    """
    given = uri or os.environ.get("MLFLOW_TRACKING_URI")
    if given and (way_out := misspelt(given)):
        name = "tracking.uri" if uri else "MLFLOW_TRACKING_URI"
        raise UsageError(f"{name} is not a valid tracking URI, got {without_password(given)}; {way_out}.")


def misspelt(uri: str) -> str | None:
    """The way out for an address that MLflow would take for a path, or for none at all; `None` for any other."""
    if _HOST_AND_PORT.fullmatch(uri):
        return f"write http://{uri}"
    if uri.startswith("sqlite:") and not uri.startswith(_SQLITE):
        return "write sqlite:////path/to/mlflow.db, with four slashes before an absolute path"
    return None


def default_store(folder: SweepFolder) -> Path:
    """MLflow's SQLite store where nobody names a tracker: one for all sweeps of a storage folder, side by side.

    On another machine's disk, where SQLite's locks cannot be trusted, each sweep has one of its own.
    """
    storage = folder.path.parent
    return folder.store if on_network(storage) else storage / STORE


def is_default(uri: str, folder: SweepFolder) -> bool:
    """Whether a tracker is a store that a sweep has where nobody names one."""
    return sqlite_file(uri) in (folder.store, folder.path.parent / STORE)


def artifacts_beside(uri: str, folder: SweepFolder) -> Path | None:
    """Where the files of runs lie beside an SQLite store. In a storage folder no sweep can be called so."""
    store = sqlite_file(uri)
    return store and store.with_name(".mlflow-artifacts" if store.parent == folder.path.parent else "artifacts")


def artifacts_as_uri(uri: str, folder: SweepFolder) -> str | None:
    """The same, as MLflow notes it of an experiment."""
    files = artifacts_beside(uri, folder)
    return files.as_uri() if files else None


def _chosen_before(ledger: Ledger) -> str | None:
    """Where it was before, unless nobody chose that, or it is gone."""
    uri = ledger.meta.tracker
    store = store_of(uri) if uri else None
    if store is None:
        return uri
    # 0.1.0 noted no choice: its stores lay beside the ledger.
    unchosen = ledger.meta.tracker_is_default or SweepFolder(store.parent).ledger.exists()
    return None if unchosen or not store.exists() else uri


def absolute(uri: str) -> str:
    """A tracker by an address that means the same in every folder: paths are made absolute."""
    store = sqlite_file(uri)
    if store is not None:
        return uri if store.is_absolute() else sqlite_uri(store.absolute())
    return uri if "://" in uri or uri.startswith("file:") else Path(uri).expanduser().absolute().as_uri()


def is_relative(uri: str) -> bool:
    """Whether a tracker is named by a path from the current folder."""
    store = sqlite_file(uri)
    if store is not None:
        return not store.is_absolute()
    return "://" not in uri and not uri.startswith("file:") and not Path(uri).expanduser().is_absolute()


def store_of(uri: str) -> Path | None:
    """Where a tracker lies that is a file or a folder; `None` for one that is served."""
    return Path(unquote(urlsplit(uri).path)) if uri.startswith("file:") else sqlite_file(uri)


def sqlite_uri(path: Path) -> str:
    """The address of an SQLite store; a plain path wherever that is unambiguous, as MLflow's own documents have it.

    How much of an address is unescaped differs between versions of SQLAlchemy, which therefore writes it and reads it.
    """
    plain = str(path)
    if not _ODD & set(plain):
        return f"{_SQLITE}{plain}"
    from sqlalchemy import URL

    return URL.create("sqlite", database=f"{_FILE}{quote(plain)}", query={"uri": "true"}).render_as_string()


def sqlite_file(uri: str) -> Path | None:
    """The file of a tracker that is an SQLite store."""
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
