"""Ships the ledger to MLflow in the background. Training never waits for the tracker, and nothing is lost with it.

One parent run per sweep, one child run per trial; an attempt that does epochs again which were shipped already opens
a child run of its own, and the earlier one is tagged `superseded`. What was shipped is noted in the ledger and found
again by tag, so shipping twice makes nothing twice. Times are the ledger's.
"""

import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from search_spaces import TrialConfig
from tune_jobs.errors import TrackerError
from tune_jobs.ledger import Attempt, Epoch, Ledger, Trial
from tune_jobs.results import headline, standing
from tune_jobs.storage import SweepFolder

PARENT = ""  # the run_key under which the ledger notes the parent run
METRICS_PER_CALL = 1000
PARAMS_PER_CALL = 100
_STATUS = {
    "complete": "FINISHED",
    "stopped": "KILLED",
    "diverged": "FAILED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}

# Set before mlflow is imported; a value that the user set stays.
_QUICK_TO_GIVE_UP = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}


class Shipper:
    """A thread that brings MLflow up to the ledger, again and again, until `close`."""

    def __init__(
        self, folder: SweepFolder, uri: str, experiment: str, tags: dict[str, str], every_s: float = 2.0
    ) -> None:
        self.uri = uri
        self.error: str | None = None
        self._folder = folder
        self._experiment = experiment
        self._tags = tags
        self._every_s = every_s
        self._closing = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="mlflow-shipper", daemon=True)

    def start(self) -> None:
        """Begin shipping."""
        self._thread.start()

    def close(self, timeout_s: float) -> str | None:
        """Ship what is left, for at most `timeout_s`; the reason if something is not shipped."""
        self._closing.set()
        if self._done.wait(timeout_s):
            return self.error
        return self.error or f"no answer within {timeout_s:g} s"

    def _loop(self) -> None:
        pause = self._every_s
        try:
            ledger = Ledger(self._folder.ledger)
            shipment = None
            while True:
                last = self._closing.is_set()
                try:
                    shipment = shipment or _Shipment(ledger, self._folder, self.uri, self._experiment, self._tags)
                    shipment.ship(final=last)
                    self.error, pause = None, self._every_s
                except Exception as error:  # noqa: BLE001 - whatever the tracker does, the sweep goes on
                    shipment = None
                    self.error = (str(error).splitlines() or [type(error).__name__])[0]
                    pause = min(60.0, 2 * pause)
                if last:
                    return
                self._closing.wait(pause)
        finally:
            self._done.set()


class _Shipment:
    """One connection to the tracker: the parent run found or made, and the children shipped to."""

    def __init__(self, ledger: Ledger, folder: SweepFolder, uri: str, experiment: str, tags: dict[str, str]) -> None:
        for name, value in {**_QUICK_TO_GIVE_UP, **_QUIET}.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        for name in ("alembic", "mlflow"):  # their set-up lines belong to nobody's terminal
            logging.getLogger(name).setLevel(logging.WARNING)

        self._ledger = ledger
        self._folder = folder
        self._client = MlflowClient(tracking_uri=uri)
        self._tags = {**tags, "sweep": folder.name, "sweep_id": ledger.meta("sweep_id") or ""}
        if ledger.meta("tracker") != uri:  # another tracker than before: it has nothing yet
            ledger.forget_tracked()
            ledger.set_meta("tracker", uri)
        self._experiment_id = self._find_experiment(experiment)
        self._parent = self._run(PARENT, 0, folder.name, {}, None)
        self._ship_spec()

    def ship(self, *, final: bool) -> None:
        """Bring the tracker up to the ledger; with `final`, close the parent run."""
        trials = {trial.run_key: trial for trial in self._ledger.trials()}
        tracked = self._ledger.tracked()
        for attempt in self._ledger.attempts():
            known = tracked.get((attempt.run_key, attempt.attempt))
            if known is None or known[2] == "running" or known[2] != attempt.state:
                self._ship_attempt(attempt, trials[attempt.run_key], known)
        if final:
            self._close_parent()

    def _ship_attempt(self, attempt: Attempt, trial: Trial, known: tuple[str, int, str] | None) -> None:
        key, number = attempt.run_key, attempt.attempt
        _, shipped, _ = known or ("", 0, "")
        new = [epoch for epoch in self._ledger.epochs(key, after=shipped) if epoch.attempt == number]
        if known is None and number > 1 and attempt.state == "running" and not new:
            return  # whether it goes on with the earlier attempt's run is known with its first epoch
        run = known[0] if known else self._run_of(attempt, trial, new)
        for batch in _batches(new):
            self._client.log_batch(run, metrics=batch)
        if attempt.state != "running":
            if attempt.reason:
                self._client.set_tag(run, "reason", attempt.reason)
            self._client.set_tag(run, "state", attempt.state)
            self._client.set_terminated(run, _STATUS[attempt.state], int((attempt.ended or time.time()) * 1000))
        if known is None or new or attempt.state != "running":
            self._ledger.set_tracked(key, number, run, max([shipped, *(e.seq for e in new)]), attempt.state)

    def _run_of(self, attempt: Attempt, trial: Trial, epochs: list[Epoch]) -> str:
        """The earlier attempt's run if this one goes on where that one ended; else a run of its own."""
        key, number = attempt.run_key, attempt.attempt
        earlier = self._ledger.tracked().get((key, number - 1))
        if earlier is not None:
            before = [e.epoch for e in self._ledger.epochs(key) if e.attempt < number]
            if not epochs or epochs[0].epoch > max(before, default=0):
                self._client.update_run(earlier[0], status="RUNNING")
                return earlier[0]
            self._client.set_tag(earlier[0], "superseded", "true")
        again = f" (attempt {number})" if number > 1 else ""
        name = f"{trial.number:03d}-{key}{again}"
        return self._run(key, number, name, params_of(trial.config), attempt.started)

    def _find_experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        for _ in range(2):
            found = self._client.get_experiment_by_name(name)
            if found is not None and found.lifecycle_stage == "deleted":
                raise RuntimeError(f"the MLflow experiment {name!r} is deleted; restore it or set tracking.experiment")
            if found is not None:
                return str(found.experiment_id)
            uri = self._client.tracking_uri
            store = Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None
            artifacts = (store.parent / "artifacts").as_uri() if store else None  # MLflow's default depends on the cwd
            with contextlib.suppress(MlflowException):  # another sweep made it in this moment
                return str(self._client.create_experiment(name, artifact_location=artifacts))
        raise RuntimeError(f"the MLflow experiment {name!r} can neither be found nor made")

    def _run(self, key: str, attempt: int, name: str, params: dict[str, str], started: float | None) -> str:
        """The run of an attempt, or the parent's: noted in the ledger, or found by its tags, or made."""
        noted = self._ledger.tracked().get((key, attempt))
        if noted is not None:
            return noted[0]
        tags = {**self._tags, "run_key": key or "sweep", "attempt": str(attempt)}
        match = " and ".join(f"tags.{tag} = '{tags[tag]}'" for tag in ("sweep_id", "run_key", "attempt"))
        found = self._client.search_runs([self._experiment_id], match, max_results=1)
        if found:
            run = found[0].info.run_id
        else:
            if key:
                tags["mlflow.parentRunId"] = self._parent
            at = int((started or time.time()) * 1000)
            run = self._client.create_run(self._experiment_id, start_time=at, tags=tags, run_name=name).info.run_id
        self._log_params(run, params)
        if not key:
            self._ledger.set_tracked(key, attempt, run, 0, "running")
        return str(run)

    def _log_params(self, run: str, params: dict[str, str]) -> None:
        from mlflow.entities import Param

        items = [Param(name, value) for name, value in params.items()]
        for start in range(0, len(items), PARAMS_PER_CALL):
            self._client.log_batch(run, params=items[start : start + PARAMS_PER_CALL])

    def _ship_spec(self) -> None:
        for file in (self._folder.spec, self._folder.manifest):
            if file.exists():
                self._client.log_artifact(self._parent, str(file))
        self._client.update_run(self._parent, status="RUNNING")

    def _close_parent(self) -> None:
        from mlflow.entities import Metric

        found = standing(self._folder.name, self._ledger)
        board = [row.summary() for row in found.rows]
        self._client.log_text(self._parent, json.dumps(board, indent=2), "leaderboard.json")
        best = found.best
        if best is not None and best.value is not None:
            now = int(time.time() * 1000)
            self._client.log_batch(self._parent, metrics=[Metric(f"best/{found.metric}", best.value, now, 0)])
            self._client.set_tag(self._parent, "best_run_key", best.run_key)
        unfinished = found.count("running", "interrupted", "waiting")
        self._client.set_terminated(self._parent, "KILLED" if unfinished else "FINISHED")


def sync(
    folder: SweepFolder,
    uri: str,
    experiment: str,
    tags: dict[str, str],
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Ship everything that the tracker at `uri` lacks.

    Raises:
        TrackerError: If it cannot be reached, or refuses.
    """
    say(f"shipping {folder.name} to {uri} ...")
    shipper = Shipper(folder, uri, experiment, tags)
    shipper.start()
    error = shipper.close(600)
    if error is not None:
        raise TrackerError(
            f"MLflow at {uri} does not have everything of {folder.name}: {error}; when it answers: "
            f"convnn sync {folder.name}"
        )


def params_of(config: TrialConfig) -> dict[str, str]:
    """The paper's parameters, `none` where inactive, then every field of the configuration by its path."""
    params = {name: "none" if value is None else str(value) for name, value in headline(config).items()}
    params.update(_by_path(config.model_dump(mode="json", by_alias=True), ""))
    return params


def _by_path(tree: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _by_path(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", "none" if value is None else str(value)


def _batches(epochs: list[Epoch]) -> Iterator[list[Any]]:
    from mlflow.entities import Metric

    metrics = [
        Metric(name, value, int(epoch.at * 1000), epoch.epoch)
        for epoch in epochs
        for name, value in epoch.metrics.items()
    ]
    for start in range(0, len(metrics), METRICS_PER_CALL):
        yield metrics[start : start + METRICS_PER_CALL]


def tracker_of(uri: str | None, folder: SweepFolder) -> str:
    """Where to ship: the file's uri, else MLFLOW_TRACKING_URI, else the SQLite store in the sweep's folder.

    A bare path or a relative SQLite path would mean something else in every folder, so paths are made absolute.
    """
    given = uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not given:
        return folder.default_tracker
    if given.startswith("sqlite:///") and not given.startswith("sqlite:////"):
        return f"sqlite:///{Path(given.removeprefix('sqlite:///')).absolute()}"
    return given if "://" in given else Path(given).expanduser().absolute().as_uri()
