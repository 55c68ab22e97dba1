"""Sets up MLflow: quiet, without its own retries, and with a complete SQLite store of this MLflow version.

MLflow creates a store by a chain of migrations. It takes seconds, and SQLite does not roll it back: a process killed
meanwhile leaves a file that MLflow can no longer open. MLflow upgrades an older store by the same chain, even while
other processes write to it. So here, a store of another version is moved aside when nobody uses it, and a new store is
created.
"""

import contextlib
import fcntl
import itertools
import logging
import os
import shlex
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from tune_jobs.errors import TrackerError
from tune_jobs.record.folder import SweepFolder
from tune_jobs.system.files import PARTIAL, part_of
from tune_jobs.system.processes import lives
from tune_jobs.tracking.address import artifacts_as_uri, is_default, sqlite_file, sqlite_uri
from tune_jobs.tracking.mlflow.reading import is_of_another

# Set before mlflow is imported; values set by the user stay. A slow tracker gets enough time. MLflow's own retries
# could create a run twice if an answer was lost; this package's retries look for the run first.
_PATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # it also costs a request
}


def set_environment() -> None:
    """Set the environment variables that MLflow reads."""
    for name, value in {**_PATIENT, **_QUIET}.items():
        os.environ.setdefault(name, value)


def connect(uri: str) -> Any:  # noqa: ANN401 - MLflow has no types
    """Return a client of MLflow at `uri`; create the store if it is a missing file.

    Raises:
        OSError: As `prepare_store`.
    """
    set_environment()
    from mlflow import MlflowClient

    for name in ("alembic", "mlflow", "sqlalchemy"):  # keep their logs off the terminal; errors are raised
        logging.getLogger(name).setLevel(logging.CRITICAL)
    prepare_store(uri)
    client = MlflowClient(tracking_uri=uri)
    _reopen_if_new(client, uri)
    return client


_opened: dict[str, tuple[int, int]] = {}
"""The file that this process has opened per address. MLflow keeps connections to it until the process ends."""


def _reopen_if_new(client: Any, uri: str) -> None:  # noqa: ANN401 - MLflow has no types
    path = sqlite_file(uri)
    if path is None:
        return
    file = path.stat()
    if _opened.setdefault(uri, (file.st_dev, file.st_ino)) != (file.st_dev, file.st_ino):
        client._tracking_client.store.engine.dispose()  # noqa: SLF001 - MLflow has no public function for this
        _opened[uri] = (file.st_dev, file.st_ino)


class StoreInUse:
    """Marks a store as used by a sweep, so that no other process moves it aside.

    The operating system releases the lock when the process ends. File systems without locks give no protection.
    """

    def __init__(self, uri: str, path: Path | None = None, notes: Sequence[str] = ()) -> None:
        self.uri = uri
        self.notes = list(notes)
        """Messages for the user."""

        self._lock: IO[str] | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = path.with_name(f".{path.name}.lock").open("a")
            self._share()

    def alone(self) -> bool:
        """Whether no other process uses the store. If so, none can until `share`."""
        if self._lock is None:
            return True
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._share()
            return False
        except OSError:
            return True
        return True

    def share(self) -> None:
        """Let other processes use the store again."""
        if self._lock is not None:
            self._share()

    def close(self) -> None:
        """Release the store."""
        if self._lock is not None:
            self._lock.close()

    def _share(self) -> None:
        assert self._lock is not None
        with contextlib.suppress(OSError):
            fcntl.flock(self._lock, fcntl.LOCK_SH)  # waits while another process moves the file


def use_store(uri: str, folder: SweepFolder) -> StoreInUse:
    """Lock the store at `uri` for a sweep; if it must be replaced but is in use, use the sweep's separate store.

    Raises:
        TrackerError: If the user chose the store, and it is of another MLflow version.
        OSError: If the store cannot be read or moved aside.
    """
    path = sqlite_file(uri)
    if path is None:
        return StoreInUse(uri)
    if not is_default(uri, folder):
        if path.is_file() and path.stat().st_size and is_of_another(path):
            raise TrackerError(
                f"{path} is of another version of MLflow, or is not an MLflow store. Choose another file. Or copy it, "
                f"and upgrade it while nobody uses it: mlflow db upgrade {shlex.quote(uri)}"
            )
        return StoreInUse(uri)
    shared = path != folder.store
    if shared and not _can_be_written(path):
        why = f"{path} cannot be written"
    else:
        with contextlib.ExitStack() as unless_it_is_held:
            use = StoreInUse(uri, path)
            unless_it_is_held.callback(use.close)
            right = not path.exists() or not (is_of_another(path) or _moved_from(path, uri, folder))
            if right or not shared or use.alone():
                if not right:
                    _put_right(use, path, folder)
                unless_it_is_held.pop_all()
                return use
        why = f"{path} is of another version of MLflow, or was moved, and is in use"
    own = use_store(sqlite_uri(folder.store), folder)
    own.notes.append(
        f"{why}; the runs of {folder.name} are in {folder.store} for now. Once that has changed, run: convnn sync "
        f"{folder.name}"
    )
    return own


def _can_be_written(path: Path) -> bool:
    if not path.exists():
        return os.access(path.parent, os.W_OK | os.X_OK)
    return path.is_file() and os.access(path, os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK)


def _put_right(use: StoreInUse, path: Path, folder: SweepFolder) -> None:
    """Move a store of another version aside, or update the artifact paths in a store that was moved.

    No other process uses it meanwhile.
    """
    try:
        if path.exists() and is_of_another(path):
            use.notes.append(
                f"{path} was of another version of MLflow, or was not an MLflow store. It is kept as "
                f"{_set_aside(path)}. The runs of each sweep are added to a new store when the sweep resumes, or with: "
                f"convnn ui"
            )
        elif path.exists():
            now = str(artifacts_as_uri(use.uri, folder))
            with contextlib.closing(sqlite3.connect(path)) as db, db:
                for before in _moved_from(path, use.uri, folder):
                    db.execute("UPDATE experiments SET artifact_location=? WHERE artifact_location=?", (now, before))
                    db.execute(
                        "UPDATE runs SET artifact_uri=?||substr(artifact_uri, ?) WHERE substr(artifact_uri, 1, ?)=?",
                        (now, len(before) + 1, len(before) + 1, f"{before}/"),
                    )
    finally:
        use.share()


def _moved_from(path: Path, uri: str, folder: SweepFolder) -> list[str]:
    """Return the artifact locations of experiments that were next to a store, but not where this store is now."""
    here = str(artifacts_as_uri(uri, folder))
    beside = here.rpartition("/")[2]
    try:
        with contextlib.closing(sqlite3.connect(path)) as db:
            found = db.execute(
                "SELECT DISTINCT artifact_location AS place FROM experiments WHERE place LIKE ? AND place<>?",
                (f"file:%/{beside}", here),
            )
            return [location for (location,) in found]
    except sqlite3.Error as error:
        raise OSError(
            f"{path} cannot be read: {error}; stop the process that writes it, or move the file away: it is "
            f"created again"
        ) from error


def _set_aside(path: Path) -> Path:
    """Rename a store to an unused name."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    names = (
        path.with_stem(f"{path.stem}-until-{stamp}{more}")
        for more in itertools.chain([""], map("-{}".format, itertools.count(2)))
    )
    aside = next(name for name in names if not name.exists())
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        try:
            db.execute("BEGIN EXCLUSIVE")  # then no writer's journal of this file is left
        except sqlite3.OperationalError as error:
            raise OSError(f"{path} cannot be moved aside: {error}; stop the process that writes it") from error
        except sqlite3.DatabaseError:  # it is not a database
            pass
        path.rename(aside)
    return aside


def prepare_store(uri: str) -> None:
    """Create the SQLite store at `uri` if it is missing. Other addresses are left to their server.

    Raises:
        OSError: If the disk is full, or access is denied.
    """
    path = sqlite_file(uri)
    if path is None or path.exists():
        return
    for part in path.parent.glob(f".{path.name}.*{PARTIAL}*"):  # including SQLite's journal
        pid = part.name.partition(PARTIAL)[0].rpartition(".")[2]
        if not pid.isdigit() or not lives(int(pid)):
            part.unlink(missing_ok=True)
    set_environment()
    from mlflow import MlflowClient

    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path)
    try:
        MlflowClient(sqlite_uri(part)).search_experiments(max_results=1)
        _publish(part, path)
    finally:
        part.unlink(missing_ok=True)


def _publish(part: Path, path: Path) -> None:
    """Rename `part` to its final name, unless another process was quicker."""
    try:
        os.link(part, path)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        if not path.exists():
            part.replace(path)
