"""What one tracker has of a sweep, and what it lacks: MLflow brought up to the ledger, once per call of `ship`.

One parent run per sweep, one child run per trial. An attempt that does epochs again opens a child run of its own,
which also gets the earlier epochs that still count; the run before it is tagged `superseded`. So the one run of a
trial that is not superseded has the trial's effective course: each epoch from the last attempt that ran it, once.

What was shipped is noted in the ledger. A request whose answer was lost is sent again: metrics carry the ledger's
times, by which MLflow's store knows them, and runs are looked up by their tags before they are made. A run that was
made twice all the same is tagged `superseded`.

A child run that somebody deleted in MLflow stays deleted, and nothing more is shipped to it; restored, it gets what it
lacks. A store that knows none of a sweep's runs gets everything. What MLflow refuses holds nothing else up.
"""

import contextlib
import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from search_spaces.headline import params_of
from tune_jobs.errors import TrackerError
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.names import REPORT
from tune_jobs.record.rows import Attempt, Epoch, Trial
from tune_jobs.report import draw_at_end
from tune_jobs.results.summary import summary
from tune_jobs.tracking.mlflow.retry import Abandoned, Pulse, is_refusal, reason_of
from tune_jobs.tracking.mlflow.runs import STATUS, earlier_epochs, end_tags, opener_of, place_tags
from tune_jobs.tracking.mlflow.store import prepare_store, set_environment
from tune_jobs.tracking.mlflow.views import description, experiment_tags

PARENT = ""
"""The run_key under which the ledger notes the parent run."""

PARENT_TAG = "sweep"
"""What MLflow's tag `run_key` says of it."""

_log = logging.getLogger(__name__)

ENTITIES_PER_CALL = 1000
RUNS_PER_LOOK = 1000
Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class _Run:
    """A run that is in MLflow."""

    id: str
    key: str
    attempt: int
    running: bool
    deleted: bool
    superseded: bool


class Shipment:
    """A sweep's runs in one tracker. Makes no call before `ship`."""

    def __init__(
        self, ledger: Ledger, folder: SweepFolder, uri: str, experiment: str, tags: dict[str, str], *, pulse: Pulse
    ) -> None:
        self._ledger = ledger
        self._folder = folder
        self._uri = uri
        self._experiment = experiment
        self._sweep_id = ledger.meta.sweep_id
        self._tags = {**tags, "sweep": folder.name, "sweep_id": self._sweep_id}
        self._pulse = pulse
        self._client: Any = None
        self._experiment_id: str | None = None
        self._parent = ""
        self._opened = False
        self._uploaded: set[str] = set()
        self._found: dict[tuple[str, int], str] = {}
        self._deleted: set[str] = set()
        self._tracked: dict[tuple[str, int], tuple[str, int, str]] = {}
        self._trials: dict[str, Trial] = {}
        self._refused: dict[str, str] = {}
        self._failed: Counter[str] = Counter()
        self._must_look = True
        self._made_runs = False

    def ship(self, *, final: bool) -> str | None:
        """Bring the tracker up to the ledger; with `final`, close the parent run too.

        Returns:
            The first thing that MLflow refuses, and why. Trials that it refuses are set aside until the final call.

        Raises:
            TrackerError: If the experiment cannot be used.
            Abandoned: If `pulse.abandoned` is set.
            Exception: Whatever MLflow's client raises where the tracker does not answer, or takes nothing.
        """
        if self._experiment_id is None:
            self._connect()
        if final:
            self._refused.clear()
        if final or self._must_look:
            self._look()
        try:
            self._ship_trials()
            if final and self._made_runs:
                self._look()  # a request that was given up may have made a run all the same
        finally:
            if final:
                self._close_parent()
        if not final:
            self._open_parent()
        return next(iter(self._refused.values()), None)

    def _call(
        self, step: object, function: Callable[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Answer:
        if self._pulse.abandoned.is_set():
            raise Abandoned
        answer = function(*args, **kwargs)
        self._pulse.beat(step)
        return answer

    def _connect(self) -> None:
        set_environment()
        from mlflow import MlflowClient

        for name in ("alembic", "mlflow", "sqlalchemy"):  # their lines belong to nobody's terminal; errors are ours
            logging.getLogger(name).setLevel(logging.CRITICAL)
        prepare_store(self._uri)
        self._client = MlflowClient(tracking_uri=self._uri)
        experiment_id = self._find_experiment()
        meta = self._ledger.meta
        if meta.tracker != self._uri or meta.tracker_experiment not in (
            self._experiment,
            None,
        ):  # that place has nothing yet
            self._ledger.forget_tracked()
        if meta.tracker != self._uri:
            meta.tracker = self._uri
        if meta.tracker_experiment != self._experiment:
            meta.tracker_experiment = self._experiment
        if meta.tracker_experiment_id != experiment_id:
            meta.tracker_experiment_id = experiment_id
        self._experiment_id = experiment_id

    def _find_experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        name = self._experiment
        tags = experiment_tags(self._ledger.meta.metric, self._ledger.meta.goal)
        for _ in range(2):
            found = self._call("experiment", self._client.get_experiment_by_name, name)
            if found is not None and found.lifecycle_stage == "deleted":
                raise TrackerError(f"the MLflow experiment {name!r} is deleted; restore it or set tracking.experiment")
            if found is not None:
                for tag in tags.keys() - found.tags.keys():  # what people have made of it stays
                    self._call(("tag", tag), self._client.set_experiment_tag, found.experiment_id, tag, tags[tag])
                return str(found.experiment_id)
            store = Path(self._uri.removeprefix("sqlite:///")) if self._uri.startswith("sqlite:///") else None
            artifacts = (store.parent / "artifacts").as_uri() if store else None  # MLflow's default depends on the cwd
            try:
                make = self._client.create_experiment
                return str(self._call("new experiment", make, name, artifact_location=artifacts, tags=tags))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another sweep made it in this moment
                    raise
        raise TrackerError(f"the MLflow experiment {name!r} can neither be found nor made; set tracking.experiment")

    def _look(self) -> None:
        """Read which of the sweep's runs are there; supersede what was made twice; find or make the parent."""
        runs = list(self._search())
        there = {run.id for run in runs}
        self._tracked = self._ledger.tracked()
        noted = {run for run, _, _ in self._tracked.values()}
        if noted and noted.isdisjoint(there):  # the store was emptied, or is another one
            self._ledger.forget_tracked()
            self._tracked, noted = {}, set()
        self._deleted = {run.id for run in runs if run.deleted} | (noted - there)
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
        self._must_look = self._made_runs = False

    def _search(self) -> Iterator[_Run]:
        from mlflow.entities import ViewType

        page = None
        while True:
            found = self._call(
                ("look", page),
                self._client.search_runs,
                [self._experiment_id],
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

    def _retire(self, run: _Run) -> None:
        if not run.superseded and not run.deleted:
            self._call(("supersede", run.id), self._client.set_tag, run.id, "superseded", "true")
        if run.running and not run.deleted:
            self._call(("end", run.id), self._client.set_terminated, run.id, "KILLED")

    def _find_parent(self, running: Collection[str]) -> None:
        noted, found = self._tracked.get((PARENT, 0)), self._found.get((PARENT, 0))
        if found is None:
            self._parent = self._make_run(PARENT, 0, self._folder.name, time.time())
            self._opened = False
            self._uploaded.clear()
            self._note(PARENT, 0, self._parent, 0, "running")
        else:
            self._parent = found
            if noted is None or noted[0] != found or (noted[2] == "running") != (found in running):
                self._note(PARENT, 0, found, 0, "running" if found in running else "ended")

    def _make_run(self, key: str, attempt: int, name: str, started: float) -> str:
        tags = {**self._tags, "run_key": key or PARENT_TAG, "attempt": str(attempt)}
        if key:
            tags["mlflow.parentRunId"] = self._parent
        self._must_look = True  # should the answer be lost
        at = int(started * 1000)
        make = self._client.create_run
        made = self._call(("make", key, attempt), make, self._experiment_id, start_time=at, tags=tags, run_name=name)
        self._must_look, self._made_runs = False, True
        self._found[key, attempt] = run = str(made.info.run_id)
        return run

    def _note(self, key: str, attempt: int, run: str, seq: int, state: str) -> None:
        if self._pulse.abandoned.is_set():  # the ledger may be another driver's by now; tags tell what was made
            raise Abandoned
        self._ledger.set_tracked(key, attempt, run, seq, state)
        self._tracked[key, attempt] = (run, seq, state)

    def _ship_trials(self) -> None:
        if self._ship_pending():
            self._look()  # runs deleted in the meantime are a reason to refuse, and so is an emptied store
            self._refused.update(self._ship_pending())

    def _ship_pending(self) -> dict[str, str]:
        """Ship what is new of every trial; by run_key, why MLflow refuses what it refuses."""
        due: dict[str, list[Attempt]] = {}
        for attempt in self._ledger.attempts():
            run, _, state = self._tracked.get((attempt.run_key, attempt.attempt), ("", 0, "running"))
            whole = state == attempt.state != "running"
            if not whole and run not in self._deleted and attempt.run_key not in self._refused:
                due.setdefault(attempt.run_key, []).append(attempt)
        self._pulse.left = left = len(due)
        refused: dict[str, str] = {}
        for key in sorted(due, key=lambda key: self._failed[key]):
            try:
                for attempt in due[key]:
                    self._ship_attempt(attempt)
            except Exception as error:
                if not is_refusal(error):
                    self._failed[key] += 1  # next time the others come first
                    raise
                refused[key] = f"MLflow refuses trial {self._trial(key).number}: {reason_of(error)}"
            self._pulse.left = left = left - 1
        return refused

    def _ship_attempt(self, attempt: Attempt) -> None:
        key, number, running = attempt.run_key, attempt.attempt, attempt.state == "running"
        known = self._tracked.get((key, number))
        shipped = known[1] if known else 0
        if known and running and not self._ledger.epochs(key, after=shipped):
            return
        epochs = self._ledger.epochs(key)
        own = [epoch for epoch in epochs if epoch.attempt == number]
        if number > 1 and running and not own:
            return  # whether it goes on with the run of the attempt before is known with its first epoch
        opener = opener_of(number, epochs)
        run = known[0] if known else self._run_of(key, opener) or self._make_child(attempt, opener)
        if run in self._deleted:
            return
        new = [epoch for epoch in own if epoch.seq > shipped]
        params: dict[str, str] = {}
        if known is None and opener == number:
            params = params_of(self._trial(key).config)
            new = [*earlier_epochs(own, epochs, below=True), *new]
        if known is None and opener == number > 1:
            self._supersede(self._run_of(key, opener_of(number - 1, epochs)))
        if known is None and opener < number and running:
            self._call(("reopen", run, number), self._client.update_run, run, status="RUNNING")
        if running:
            self._log(run, new, params, place_tags(attempt) if not shipped else {})
        else:
            beyond = earlier_epochs(own, epochs, below=False) if opener == number else []
            tags = place_tags(attempt) | end_tags(attempt, goes_on=opener < number)
            self._log(run, [*new, *beyond], params, tags)
            ended = int((attempt.ended or time.time()) * 1000)
            self._call(("end", run, number), self._client.set_terminated, run, STATUS[attempt.state], ended)
        seq = max((epoch.seq for epoch in own), default=0)
        if known != (run, seq, attempt.state):
            self._note(key, number, run, seq, attempt.state)

    def _run_of(self, key: str, opener: int) -> str | None:
        noted = self._tracked.get((key, opener))
        return noted[0] if noted else self._found.get((key, opener))

    def _make_child(self, attempt: Attempt, opener: int) -> str:
        again = f" (attempt {opener})" if opener > 1 else ""
        name = f"{self._trial(attempt.run_key).number:03d}-{attempt.run_key}{again}"
        return self._make_run(attempt.run_key, opener, name, attempt.started)

    def _supersede(self, run: str | None) -> None:
        if run is not None and run not in self._deleted:
            self._call(("supersede", run), self._client.set_tag, run, "superseded", "true")

    def _trial(self, key: str) -> Trial:
        if key not in self._trials:
            self._trials = {trial.run_key: trial for trial in self._ledger.trials()}
        return self._trials[key]

    def _log(self, run: str, epochs: list[Epoch], params: dict[str, str], tags: dict[str, str]) -> None:
        """In as few calls as MLflow's limits allow."""
        from mlflow.entities import Metric, Param, RunTag

        metrics = [
            Metric(name, value, int(epoch.at * 1000), epoch.epoch)
            for epoch in epochs
            for name, value in epoch.metrics.items()
        ]
        if not (metrics or params or tags):
            return
        first = {"params": [Param(*item) for item in params.items()], "tags": [RunTag(*item) for item in tags.items()]}
        room = max(0, ENTITIES_PER_CALL - len(params) - len(tags))
        starts = [0, *range(room, len(metrics), ENTITIES_PER_CALL)]
        for start, end in zip(starts, [*starts[1:], len(metrics)], strict=True):
            step = ("log", run, epochs[0].seq if epochs else 0, end, *tags.items())
            self._call(step, self._client.log_batch, run, metrics=metrics[start:end], **({} if start else first))

    def _open_parent(self) -> None:
        if self._opened or self._parent in self._deleted:
            return
        with self._parent_refused():
            if self._tracked[PARENT, 0] != (self._parent, 0, "running"):
                self._call("reopen", self._client.update_run, self._parent, status="RUNNING")
                self._note(PARENT, 0, self._parent, 0, "running")
        self._opened = True
        with contextlib.suppress(Exception):  # it is tried again in the end, and then said
            for name, text in self._files().items():
                self._upload(name, text)

    def _close_parent(self) -> None:
        if self._parent in self._deleted:
            self._refused[PARENT] = (
                f"the sweep's own run {self._parent} is deleted in MLflow; restore it there, among the deleted runs, "
                f"and run: convnn sync {self._folder.name}"
            )
            return
        with self._parent_refused():
            self._ship_summary()

    @contextlib.contextmanager
    def _parent_refused(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not is_refusal(error):
                raise
            self._refused[PARENT] = f"MLflow refuses the sweep's own run {self._parent}: {reason_of(error)}"

    def _ship_summary(self) -> None:
        from mlflow.entities import Metric, RunTag

        found = summary(self._folder.name, self._ledger)
        status = "KILLED" if found.count("running", "interrupted", "waiting") else "FINISHED"
        used = found.used
        values = {"gpu_hours": used.gpu_hours, "cpu_hours": used.cpu_hours, "wall_hours": used.wall_hours}
        runs = {key: run for (key, _), (run, _, _) in sorted(self._tracked.items())}  # the last attempt's
        tags = {"mlflow.note.content": description(found, runs, str(self._experiment_id))}
        best = found.best
        if best is not None and best.value is not None:
            values[f"best/{found.metric}"] = best.value
            tags["best_run_key"] = best.run_key
        board = json.dumps([row.as_dict() for row in found.rows], indent=2)
        files = {**self._files(), "leaderboard.json": board}
        digest = hashlib.sha256(repr((status, values, tags, files, REPORT)).encode()).hexdigest()
        if self._tracked.get((PARENT, 0)) == (self._parent, 0, digest):
            return
        # The ledger's last time: sent again, the numbers are the same ones.
        at = max((attempt.ended or attempt.started for attempt in self._ledger.attempts()), default=0.0)
        metrics = [Metric(name, value, int(at * 1000), 0) for name, value in values.items()]
        run_tags = [RunTag(*item) for item in tags.items()]
        self._call(("summary", digest), self._client.log_batch, self._parent, metrics=metrics, tags=run_tags)
        self._call(("end", digest), self._client.set_terminated, self._parent, status)
        for name, text in files.items():
            self._upload(name, text)
        self._ship_report(at)
        self._note(PARENT, 0, self._parent, 0, digest)

    def _ship_report(self, since: float) -> None:
        """The report that the run drew; drawn here if it is older than `since`. A sweep is shipped without it, too."""
        path = self._folder.report
        try:
            drawn = path.stat().st_mtime >= since
        except OSError:
            drawn = False
        if not drawn and draw_at_end(self._folder, 0, _log.warning) is None:
            return
        try:
            self._upload(path.name, path.read_text(encoding="utf-8"))
        except Exception as error:
            if not is_refusal(error):
                raise
            _log.warning("MLflow refuses %s: %s", path.name, reason_of(error))

    def _files(self) -> dict[str, str]:
        files = (self._folder.spec, self._folder.manifest)
        return {file.name: file.read_text(encoding="utf-8") for file in files if file.exists()}

    def _upload(self, name: str, text: str) -> None:
        content = hashlib.sha256(f"{name} {text}".encode()).hexdigest()
        if content not in self._uploaded:
            self._call(("upload", content), self._client.log_text, self._parent, text, name)
            self._uploaded.add(content)


def _precedence(run: _Run, noted: Collection[str]) -> tuple[bool, bool, bool, str]:
    """Sorts runs that were made for the same attempt; the first is the one that counts."""
    return run.id not in noted, run.deleted, run.superseded, run.id
