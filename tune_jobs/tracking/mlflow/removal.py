"""Takes a sweep out of the store that it shares with others, whose runs, notes and tags stay.

MLflow keeps what is deleted until `mlflow gc`, which removes what others deleted, too: it is not called here.
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
"""MLflow's ids of runs and models, which are names of folders."""

MODELS = "models"
"""Where the files of models are, beside those of runs."""


@dataclass(frozen=True)
class InStore:
    """What MLflow has of a sweep."""

    store: Path | None
    """The store that it shares with others, in which it can be removed; `None` if it is in no such store."""

    stays: tuple[str, ...]
    """What stays, in sentences."""

    model: str | None = None
    """The champion's model, where it is registered."""


def in_store(folder: SweepFolder, ledger: Ledger) -> InStore:
    """What MLflow has of a sweep, as far as it is not in its folder."""
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
        f"Its runs stay in the experiment {name!r} of {without_password(uri)}, to which another sweep of this name "
        f"adds; an experiment that is deleted there keeps its name, until it is restored or gone for good (mlflow gc)."
    )
    if (model := registered(ledger)) is not None:
        stays.append(f"Its registered model stays there, too: {model}.")
    return InStore(None, tuple(stays))


def remove_runs(folder: SweepFolder, ledger: Ledger) -> str:
    """Delete a sweep's experiment from the shared store, or its runs alone if others have runs there; what was done.

    The experiment's name is free then. MLflow shows it among the deleted ones, under another. The sweep's registered
    model goes as well: its files do.

    Raises:
        TrackerError: If that cannot be done now.
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
    """Give a sweep's experiment in the shared store the name of its folder, which has moved aside; what was done.

    Where others have runs in it, the sweep's are deleted there, and come again under the folder's name with `sync`.

    Raises:
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
            return f"Its runs in MLflow are in the experiment {folder.name!r} now."
        _delete_models(client, experiment.experiment_id, ledger, logged=True)
        _delete(client, own)
        ledger.forget_tracked()
        ledger.meta.tracked_as = uuid.uuid4().hex
        ledger.meta.tracker_experiment = ledger.meta.tracker_experiment_id = None
    return _told(experiment.name, own, others)


@contextlib.contextmanager
def _shared(folder: SweepFolder, ledger: Ledger) -> Iterator[tuple[Any, Any]]:
    """The store's client, and the sweep's experiment there."""
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
        raise TrackerError(" ".join(use.notes) or f"MLflow has no experiment {name!r} any more")


def _runs(client: Any, experiment_id: str, ledger: Ledger) -> tuple[list[str], list[str]]:  # noqa: ANN401
    """The sweep's own runs, and the names of the others, the deleted ones too."""
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
    """The ids of the sweep's models, and the names under which they are registered."""
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
    """Delete what is registered, and the models themselves where their experiment does not go; see `_models`."""
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
        f"Its {len(own)} runs in MLflow's experiment {experiment!r} are deleted; {len(others)} of others stay there "
        f"({whose}{', ...' if len(set(others)) > 3 else ''})."  # noqa: PLR2004 - as many as are named
    )


def _set_aside(folder: SweepFolder) -> list[Path]:
    """Stores of other versions of MLflow, beside the one in use."""
    return sorted(folder.path.parent.glob(f"{folder.store.stem}-until-*{folder.store.suffix}"))
