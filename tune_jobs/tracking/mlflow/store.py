"""Sets MLflow up: quiet, patient, and its SQLite store all or nothing.

MLflow makes a new store by a chain of migrations, which takes seconds and which SQLite does not undo: a process killed
meanwhile leaves a file that no MLflow opens again.
"""

import logging
import os
from pathlib import Path
from typing import Any

from tune_jobs.system.files import PARTIAL, part_of
from tune_jobs.system.processes import lives
from tune_jobs.tracking.address import sqlite_file, sqlite_uri

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
    return MlflowClient(tracking_uri=uri)


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
