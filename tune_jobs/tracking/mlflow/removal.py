"""Removes a sweep from the store that it shares with other sweeps; their runs, notes and tags stay.

MLflow keeps deleted data until `mlflow gc`. It is not called here, because it would also remove other deleted data.
"""

import contextlib
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tune_jobs.errors import TrackerError
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.system.redaction import without_password
from tune_jobs.tracking.address import artifacts_beside, sqlite_file
from tune_jobs.tracking.mlflow.champion import SHIPPED, registered
from tune_jobs.tracking.mlflow.inventory import PARENT, RUNS_PER_LOOK
from tune_jobs.tracking.mlflow.reading import has_runs
from tune_jobs.tracking.mlflow.retry import reason_of
from tune_jobs.tracking.mlflow.store import connect, use_store
from tune_jobs.tracking.place import has_own_runs, tracked_as

_ID = re.compile("(m-)?[0-9a-f]{32}")
"""MLflow's ids of runs and models, which are also folder names."""

MODELS = "models"
"""Folder for the files of models, next to those of runs."""


@dataclass(frozen=True)
class InStore:
    """What MLflow has of a sweep."""

    store: Path | None
    """The shared store from which the sweep can be removed; `None` if it is not in such a store."""

    stays: tuple[str, ...]
    """Sentences about what stays."""

    model: str | None = None
    """The champion's registered model."""


def in_store(folder: SweepFolder, ledger: Ledger) -> InStore:
    """Return what MLflow has of a sweep outside the sweep's folder."""
    uri, name = ledger.meta.tracker, ledger.meta.tracker_experiment
    path = sqlite_file(uri) if uri else None
    if uri is None or not has_own_runs(folder, ledger):
        return InStore(None, ())
    stays = [
        f"Its runs stay in {store}, which was set aside."
        for store in _set_aside(folder)
        if has_runs(store, tracked_as(ledger))
    ]
    if path is not None and (path == folder.store or not path.exists()):
        return InStore(None, tuple(stays))
    if path is not None and ledger.meta.tracker_is_default:
        return InStore(path, tuple(stays), registered(ledger))
    stays.append(
        f"Its runs stay in the experiment {name!r} of {without_password(uri)}. A new sweep of the same "
        f"name adds its runs to it. If you delete the experiment there, its name stays taken until you restore it or "
        f"run mlflow gc."
    )
    if (model := registered(ledger)) is not None:
        stays.append(f"Its registered model stays there, too: {model}.")
    return InStore(None, tuple(stays))


def remove_runs(folder: SweepFolder, ledger: Ledger) -> str:
    """Delete a sweep's experiment from the shared store; only its runs if others have runs there. Returns a message.

    The experiment's name is then free: MLflow lists the deleted experiment under another name. The sweep's registered
    model is deleted as well, since its files are.

    Raises:
        TrackerError: If it cannot be done now.
    """
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    with _shared(folder, ledger) as (client, experiment):
        own, others = _runs(client, experiment.experiment_id, ledger)
        models, names = _delete_models(client, experiment.experiment_id, ledger, logged=bool(others))
        if not others:
            client.rename_experiment(experiment.experiment_id, f"{experiment.name} (removed {stamp})")
            client.delete_experiment(experiment.experiment_id)
        else:
            _delete(client, own)
        artifacts = artifacts_beside(str(ledger.meta.tracker), folder)
        for beside, ids in ((artifacts, own), (artifacts and artifacts / MODELS, models)):
            for each in ids:
                if beside is not None and _ID.fullmatch(each):
                    shutil.rmtree(beside / each, ignore_errors=True)
    gone = "".join(f" Its registered model {name!r} is deleted." for name in names)
    return f"{_told(experiment.name, own, others)}{gone}"


def move_runs(folder: SweepFolder, ledger: Ledger) -> str:
    """Rename a sweep's experiment in the shared store after its folder, which was moved aside. Returns a message.

    If others have runs in it, the sweep's runs are deleted there; the next `sync` adds them under the folder's name.

    Raises:
        TrackerError: If it cannot be done now.
        TrackerError: If that cannot be done now.
    """
    with _shared(folder, ledger) as (client, experiment):
        own, others = _runs(client, experiment.experiment_id, ledger)
        if not others:
            for name in _models(client, experiment.experiment_id, ledger)[1]:
                client.rename_registered_model(name, folder.name)
            if (noted := ledger.tracked().get((PARENT, SHIPPED))) is not None:
                ledger.set_tracked(PARENT, SHIPPED, *noted[:2], "")  # the next sync tells the model its name
            client.rename_experiment(experiment.experiment_id, folder.name)
            ledger.meta.tracker_experiment = folder.name
            return f"Its runs in MLflow are now in the experiment {folder.name!r}."
        _delete_models(client, experiment.experiment_id, ledger, logged=True)
        _delete(client, own)
        ledger.forget_tracked()
        ledger.meta.tracked_as = uuid.uuid4().hex
        ledger.meta.tracker_experiment = ledger.meta.tracker_experiment_id = None
    return _told(experiment.name, own, others)


@contextlib.contextmanager
def _shared(folder: SweepFolder, ledger: Ledger) -> Iterator[tuple[Any, Any]]:
    """Yield the store's client, and the sweep's experiment."""
    uri, name = str(ledger.meta.tracker), ledger.meta.tracker_experiment
    try:
        with contextlib.closing(use_store(uri, folder)) as use:
            client = connect(uri)
            experiment = client.get_experiment_by_name(name)
            there = use.uri == uri and experiment is not None and experiment.lifecycle_stage != "deleted"
            if there:
                yield client, experiment
    except Exception as error:
        raise TrackerError(f"MLflow at {uri}: {reason_of(error)}") from error
    if not there:
        raise TrackerError(" ".join(use.notes) or f"MLflow no longer has the experiment {name!r}")


def _runs(client: Any, experiment_id: str, ledger: Ledger) -> tuple[list[str], list[str]]:  # noqa: ANN401
    """Return the ids of the sweep's runs, and the names of the other runs, including deleted ones."""
    from mlflow.entities import ViewType

    own: list[str] = []
    others: list[str] = []
    page = None
    while True:
        found = client.search_runs([experiment_id], "", ViewType.ALL, RUNS_PER_LOOK, page_token=page)
        for run in found:
            if run.data.tags.get("sweep_id") == tracked_as(ledger):
                own.append(run.info.run_id)
            else:
                others.append(run.data.tags.get("sweep") or run.info.run_name or run.info.run_id)
        page = found.token
        if not page:
            return own, others


def _models(client: Any, experiment_id: str, ledger: Ledger) -> tuple[list[str], list[str]]:  # noqa: ANN401
    """Return the ids of the sweep's models, and the names of its registered models."""
    whose = f"tags.sweep_id = '{tracked_as(ledger)}'"
    names = [str(model.name) for model in client.search_registered_models(whose)]
    return [str(model.model_id) for model in client.search_logged_models([experiment_id], whose)], names


def _delete_models(
    client: Any,  # noqa: ANN401
    experiment_id: str,
    ledger: Ledger,
    *,
    logged: bool,
) -> tuple[list[str], list[str]]:
    """Delete the registered models; with `logged`, the logged models, too. See `_models`."""
    models, names = _models(client, experiment_id, ledger)
    for name in names:
        client.delete_registered_model(name)
    for model in models if logged else ():
        client.delete_logged_model(model)
    return models, names


def _delete(client: Any, runs: list[str]) -> None:  # noqa: ANN401
    for run in runs:
        if client.get_run(run).info.lifecycle_stage != "deleted":
            client.delete_run(run)


def _told(experiment: str, own: list[str], others: list[str]) -> str:
    if not others:
        return f"Its experiment {experiment!r} in MLflow is deleted."
    whose = ", ".join(sorted(set(others))[:3])
    return (
        f"Its {len(own)} runs in MLflow's experiment {experiment!r} are deleted; {len(others)} runs of others stay "
        f"({whose}{', ...' if len(set(others)) > 3 else ''})."  # noqa: PLR2004 - the number of names shown
    )


def _set_aside(folder: SweepFolder) -> list[Path]:
    """Return the stores of other MLflow versions next to the current one."""
    return sorted(folder.path.parent.glob(f"{folder.store.stem}-until-*{folder.store.suffix}"))
