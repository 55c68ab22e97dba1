"""Sets MLflow up: quiet, patient, and its SQLite store all or nothing, and of this version of MLflow.

MLflow makes a new store by a chain of migrations, which takes seconds and which SQLite does not undo: a process killed
meanwhile leaves a file that no MLflow opens again. It brings an older store up to date by the same chain, under the
hands of whoever writes it. Here a store of another version is moved aside, where nobody uses it, and a new one made.
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

# Set before mlflow is imported; a value that the user set stays. A slow tracker may take its time. MLflow's own retries
# would also repeat the making of a run whose answer was lost; ours look first.
_PATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # which also costs a call
}


def set_environment() -> None:
    """Set what MLflow reads from the environment."""
    for name, value in {**_PATIENT, **_QUIET}.items():
        os.environ.setdefault(name, value)


def connect(uri: str) -> Any:  # noqa: ANN401 - MLflow has no types
    """A client of MLflow at `uri`, whose store is made if it is a file that is missing.

    Raises:
        OSError: As `prepare_store`.
    """
    set_environment()
    from mlflow import MlflowClient

    for name in ("alembic", "mlflow", "sqlalchemy"):  # their lines belong to nobody's terminal; errors are ours
        logging.getLogger(name).setLevel(logging.CRITICAL)
    prepare_store(uri)
    client = MlflowClient(tracking_uri=uri)
    _reopen_if_new(client, uri)
    return client


_opened: dict[str, tuple[int, int]] = {}
"""Which file this process has opened, by its address: MLflow keeps connections to it as long as the process lives."""


def _reopen_if_new(client: Any, uri: str) -> None:  # noqa: ANN401 - MLflow has no types
    path = sqlite_file(uri)
    if path is None:
        return
    file = path.stat()
    if _opened.setdefault(uri, (file.st_dev, file.st_ino)) != (file.st_dev, file.st_ino):
        client._tracking_client.store.engine.dispose()  # noqa: SLF001 - no public way leads there
        _opened[uri] = (file.st_dev, file.st_ino)


class StoreInUse:
    """A sweep's hold on a store: none but this process's own keeps others from moving it aside.

    The operating system ends it with the process. Where it knows no locks, there is none.
    """

    def __init__(self, uri: str, path: Path | None = None, notes: Sequence[str] = ()) -> None:
        self.uri = uri
        self.notes = list(notes)
        """What a person has to know."""

        self._lock: IO[str] | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = path.with_name(f".{path.name}.lock").open("a")
            self._share()

    def alone(self) -> bool:
        """Whether nobody else uses it; then nobody can, until `share`."""
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
        """Let others use it, too."""
        if self._lock is not None:
            self._share()

    def close(self) -> None:
        """Use it no more."""
        if self._lock is not None:
            self._lock.close()

    def _share(self) -> None:
        assert self._lock is not None
        with contextlib.suppress(OSError):
            fcntl.flock(self._lock, fcntl.LOCK_SH)  # whoever has it alone moves a file, and lets go


def use_store(uri: str, folder: SweepFolder) -> StoreInUse:
    """Hold the store at `uri` for a sweep, so that it can be connected to; another one if that is in use elsewhere.

    Raises:
        TrackerError: If it is of another version of MLflow, and somebody's choice.
        OSError: If it cannot be read, or not be moved aside.
    """
    path = sqlite_file(uri)
    if path is None:
        return StoreInUse(uri)
    if not is_default(uri, folder):
        if path.is_file() and path.stat().st_size and is_of_another(path):
            raise TrackerError(
                f"{path} is of another version of MLflow, or no store of it. Name another file; or copy it, and bring "
                f"it up to date while nobody uses it: mlflow db upgrade {shlex.quote(uri)}"
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
        f"{why}; the runs of {folder.name} are in {folder.store} for now. Once that has changed: convnn sync "
        f"{folder.name}"
    )
    return own


def _can_be_written(path: Path) -> bool:
    if not path.exists():
        return os.access(path.parent, os.W_OK | os.X_OK)
    return path.is_file() and os.access(path, os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK)


def _put_right(use: StoreInUse, path: Path, folder: SweepFolder) -> None:
    """Move a store of another version out of the way, or tell one that was moved where its files are now.

    Nobody else uses it meanwhile.
    """
    try:
        if path.exists() and is_of_another(path):
            use.notes.append(
                f"{path} was of another version of MLflow, or no store of it. It is kept as {_set_aside(path)}; the "
                f"runs of each sweep are in a new one once it goes on, or with: convnn ui"
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
    """Where a store's experiments have their files, if that is beside a store, but not where this one is now."""
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
            f"{path} cannot be read: {error}; stop who writes it, or move it away: it is made again"
        ) from error


def _set_aside(path: Path) -> Path:
    """Move a store out of the way, under a name that nothing has."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    names = (
        path.with_stem(f"{path.stem}-until-{stamp}{more}")
        for more in itertools.chain([""], map("-{}".format, itertools.count(2)))
    )
    aside = next(name for name in names if not name.exists())
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        try:
            db.execute("BEGIN EXCLUSIVE")  # after it no writer's journal is left that belongs to this file
        except sqlite3.OperationalError as error:
            raise OSError(f"{path} cannot be moved aside: {error}; stop who writes it") from error
        except sqlite3.DatabaseError:  # it is no database
            pass
        path.rename(aside)
    return aside


def prepare_store(uri: str) -> None:
    """Make the SQLite store at `uri` if there is none; anything but SQLite is left to its server.

    Raises:
        OSError: If there is no room or no access.
    """
    path = sqlite_file(uri)
    if path is None or path.exists():
        return
    for part in path.parent.glob(f".{path.name}.*{PARTIAL}*"):  # and SQLite's journal of it
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
    """Give `part` its name, unless another process was quicker."""
    try:
        os.link(part, path)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        if not path.exists():
            part.replace(path)
