"""A sweep's experiment and runs in MLflow, found by their tags, and created if missing.

The ledger records which run belongs to an attempt, and what was synced to it.
"""

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tune_jobs.errors import TrackerError
from tune_jobs.record.ledger import Ledger
from tune_jobs.tracking.address import artifacts_as_uri
from tune_jobs.tracking.base import Destination
from tune_jobs.tracking.mlflow.retry import Abandoned, SyncHealth
from tune_jobs.tracking.mlflow.views import experiment_tags
from tune_jobs.tracking.place import tracked_as

PARENT = ""
"""The run_key under which the ledger records the parent run."""

PARENT_TAG = "sweep"
"""The value of the parent run's tag `run_key` in MLflow."""

RUNS_PER_LOOK = 1000


@dataclass(frozen=True)
class _Run:
    """A run in MLflow."""

    id: str
    key: str
    attempt: int
    running: bool
    deleted: bool
    superseded: bool


class Inventory:
    """A sweep's runs in one experiment. Call `look` first."""

    def __init__(
        self,
        client: Any,  # noqa: ANN401 - MLflow has no types
        experiment_id: str,
        destination: Destination,
        ledger: Ledger,
        health: SyncHealth,
    ) -> None:
        self.experiment_id = experiment_id
        self.parent = ""
        """The sweep's own run."""

        self.deleted: set[str] = set()
        """Runs deleted by a user."""

        self.must_look = True
        """Whether MLflow may have runs that are not known here."""

        self.made_runs = False
        """Whether runs were created since the last look."""

        self._client = client
        self._ledger = ledger
        self._health = health
        self._sweep = destination.folder.name
        self._sweep_id = tracked_as(ledger)
        self._tags = {**destination.tags, "sweep": self._sweep, "sweep_id": self._sweep_id}
        self._found: dict[tuple[str, int], str] = {}
        self._noted: dict[tuple[str, int], tuple[str, int, str]] = {}

    def look(self) -> None:
        """Read the sweep's runs from MLflow; supersede duplicates; find or create the parent run."""
        runs = list(self._search())
        there = {run.id for run in runs}
        self._noted = self._ledger.tracked()
        noted = {run for run, _, _ in self._noted.values()}
        if noted and noted.isdisjoint(there):  # the store was emptied or replaced
            self._ledger.forget_tracked()
            self._noted, noted = {}, set()
        self.deleted = {run.id for run in runs if run.deleted} | (noted - there)
        places: dict[tuple[str, int], list[_Run]] = {}
        for run in runs:
            places.setdefault((run.key, run.attempt), []).append(run)
        self._found = {}
        for place, same in places.items():
            first, *others = sorted(same, key=lambda run: _precedence(run, noted))
            self._found[place] = first.id
            for other in others:
                self._retire(other)
        self._find_parent({run.id for run in runs if run.running})
        self.must_look = self.made_runs = False

    def noted(self, key: str, attempt: int) -> tuple[str, int, str] | None:
        """Return what the ledger records for an attempt: its run, the last synced `seq`, and the synced state."""
        return self._noted.get((key, attempt))

    def note(self, key: str, attempt: int, run: str, seq: int, state: str) -> None:
        """Record in the ledger what MLflow has of an attempt.

        Raises:
            Abandoned: If the sync was given up.
        """
        if self._health.abandoned.is_set():  # another driver may own the ledger by now; runs are found by their tags
            raise Abandoned
        self._ledger.set_tracked(key, attempt, run, seq, state)
        self._noted[key, attempt] = (run, seq, state)

    def run_of(self, key: str, attempt: int) -> str | None:
        """Return the run that was created for an attempt."""
        noted = self._noted.get((key, attempt))
        return noted[0] if noted else self._found.get((key, attempt))

    def latest(self) -> dict[str, str]:
        """Return the run of each trial's last attempt, by run key."""
        return {key: run for (key, _), (run, _, _) in sorted(self._noted.items())}

    def make(self, key: str, attempt: int, name: str, started: float, more: Mapping[str, str]) -> str:
        """Create the run of an attempt, or the parent run, with a name and `more` tags."""
        tags = {**self._tags, **more, "run_key": key or PARENT_TAG, "attempt": str(attempt)}
        if key:
            tags["mlflow.parentRunId"] = self.parent
        self.must_look = True  # in case the answer is lost
        at, create = int(started * 1000), self._client.create_run
        made = self._health.call(
            ("make", key, attempt), create, self.experiment_id, start_time=at, tags=tags, run_name=name
        )
        self.must_look, self.made_runs = False, True
        self._found[key, attempt] = run = str(made.info.run_id)
        return run

    def supersede(self, run: str | None) -> None:
        """Tag a run as superseded by another."""
        if run is not None and run not in self.deleted:
            self._health.call(("supersede", run), self._client.set_tag, run, "superseded", "true")

    def _retire(self, run: _Run) -> None:
        if not run.superseded:
            self.supersede(run.id)
        if run.running and not run.deleted:
            self._health.call(("end", run.id), self._client.set_terminated, run.id, "KILLED")

    def _find_parent(self, running: Collection[str]) -> None:
        noted, found = self._noted.get((PARENT, 0)), self._found.get((PARENT, 0))
        if found is None:
            self.parent = self.make(PARENT, 0, self._sweep, time.time(), {})
            self.note(PARENT, 0, self.parent, 0, "running")
        else:
            self.parent = found
            if noted is None or noted[0] != found or (noted[2] == "running") != (found in running):
                self.note(PARENT, 0, found, 0, "running" if found in running else "ended")

    def _search(self) -> Iterator[_Run]:
        from mlflow.entities import ViewType

        page = None
        while True:
            found = self._health.call(
                ("look", page),
                self._client.search_runs,
                [self.experiment_id],
                f"tags.sweep_id = '{self._sweep_id}'",
                run_view_type=ViewType.ALL,
                max_results=RUNS_PER_LOOK,
                page_token=page,
            )
            for run in found:
                key, attempt = run.data.tags.get("run_key"), run.data.tags.get("attempt", "")
                if key and attempt.isdigit():
                    yield _Run(
                        run.info.run_id,
                        PARENT if key == PARENT_TAG else key,
                        int(attempt),
                        running=run.info.status == "RUNNING",
                        deleted=run.info.lifecycle_stage == "deleted",
                        superseded="superseded" in run.data.tags,
                    )
            page = found.token
            if not page:
                return


def _precedence(run: _Run, noted: Collection[str]) -> tuple[bool, bool, bool, str]:
    """Sort key for runs that were created for the same attempt; the first one counts."""
    return run.id not in noted, run.deleted, run.superseded, run.id


def find_experiment(client: Any, destination: Destination, ledger: Ledger, health: SyncHealth) -> str:  # noqa: ANN401
    """Return the id of the experiment in MLflow; create it if it is missing.

    Raises:
        TrackerError: If the experiment cannot be used.
    """
    from mlflow.exceptions import MlflowException

    name = destination.experiment
    tags = experiment_tags(ledger.meta.metric, ledger.meta.goal, destination.columns)
    for _ in range(2):
        found = health.call("experiment", client.get_experiment_by_name, name)
        if found is not None and found.lifecycle_stage == "deleted":
            raise TrackerError(f"the MLflow experiment {name!r} is deleted; restore it or set tracking.experiment")
        if found is not None:
            for tag in tags.keys() - found.tags.keys():  # existing tags stay, since users may have changed them
                health.call(("tag", tag), client.set_experiment_tag, found.experiment_id, tag, tags[tag])
            return str(found.experiment_id)
        artifacts = artifacts_as_uri(destination.uri, destination.folder)  # MLflow's default depends on the cwd
        try:
            make = client.create_experiment
            return str(health.call("new experiment", make, name, artifact_location=artifacts, tags=tags))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another sweep has just created it
                raise
    raise TrackerError(f"the MLflow experiment {name!r} can neither be found nor created; set tracking.experiment")
