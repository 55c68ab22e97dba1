"""Syncs a sweep's ledger to MLflow, once per call of `run`.

A sweep has one parent run, and one child run per trial. An attempt that repeats epochs gets a new child run, which also
gets the earlier epochs that still count; the previous run is tagged `superseded`. So each trial has exactly one run
that is not superseded, and it has every epoch that counts, once: each from the last attempt that ran it.

The ledger records what was synced. A request whose answer was lost is sent again. Metrics carry the ledger's times, by
which MLflow recognizes them, and runs are looked up by their tags before they are created. If a run was created twice
anyway, one of the two is tagged `superseded`.

A child run that a user deletes in MLflow stays deleted, and nothing more is sent to it. If it is restored, it gets the
missing data. A store that has none of a sweep's runs gets everything. If MLflow refuses one item, the others continue.
"""

import contextlib
import hashlib
import logging
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from search_spaces.settings import HOURS
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.names import REPORT
from tune_jobs.record.rows import CHAMPION, SEARCH, Attempt, Epoch, Trial
from tune_jobs.results.columns import params as params_of
from tune_jobs.results.summary import summary
from tune_jobs.system.json_text import json_text
from tune_jobs.system.redaction import without_password
from tune_jobs.tracking.address import is_default
from tune_jobs.tracking.base import Destination
from tune_jobs.tracking.mlflow.champion import Champions, has_no_registry
from tune_jobs.tracking.mlflow.exclusions import ship_exclusions
from tune_jobs.tracking.mlflow.inventory import PARENT, Inventory, find_experiment
from tune_jobs.tracking.mlflow.retry import SyncHealth, is_refusal, reason_of
from tune_jobs.tracking.mlflow.runs import (
    STATUS,
    datasets,
    earlier_epochs,
    end_tags,
    numbers,
    opener_of,
    place_tags,
)
from tune_jobs.tracking.mlflow.store import StoreInUse, connect, use_store
from tune_jobs.tracking.mlflow.views import best_values, description, run_tags
from tune_jobs.tracking.names import run_name

_log = logging.getLogger(__name__)

ENTITIES_PER_CALL = 1000


class MLflowSync:
    """Brings MLflow up to date with a sweep's ledger. Makes no call before `run`."""

    _client: Any
    _runs: Inventory

    def __init__(self, ledger: Ledger, destination: Destination, health: SyncHealth) -> None:
        self.destination = destination
        """The sweep, and where it is tracked; this may differ from the requested store if that cannot be used."""

        self.notes: list[str] = []
        """Messages for the user about the store."""

        self._ledger = ledger
        self._health = health
        self._connected = False
        self._store: StoreInUse | None = None
        self._opened = ""  # the parent run, once it is open
        self._uploaded: set[str] = set()
        self._refused: dict[str, str] = {}
        self._failed: Counter[str] = Counter()

    def run(self, *, final: bool) -> str | None:
        """Send what MLflow lacks; with `final`, also close the parent run.

        Returns:
            The first item that MLflow refuses, and why. Refused trials are skipped until the final call.

        Raises:
            TrackerError: If the experiment cannot be used.
            Abandoned: If the sync was given up.
            Exception: Any error of MLflow's client if the tracker does not answer or accepts nothing.
        """
        if not self._connected:
            self._connect()
        if final:
            self._refused.clear()
        if final or self._runs.must_look:
            self._runs.look()
        try:
            self._ship_trials()
            self._ship_exclusions()
            if final:
                self._ship_champion()
            if final and self._runs.made_runs:
                self._runs.look()  # a request that was given up may have created a run
        finally:
            if final:
                self._close_parent()
        if not final:
            self._open_parent()
        return next(iter(self._refused.values()), None)

    def close(self) -> None:
        """Release the store."""
        if self._store is not None:
            self._store.close()

    def _connect(self) -> None:
        if self._store is None:
            self._store = use_store(self.destination.uri, self.destination.folder)
            self.destination = replace(self.destination, uri=self._store.uri)
            self.notes += self._store.notes
        uri, experiment, meta = self.destination.uri, self.destination.experiment, self._ledger.meta
        self._client = connect(uri)
        experiment_id = find_experiment(self._client, self.destination, self._ledger, self._health)
        if meta.tracker != uri or meta.tracker_experiment not in (experiment, None):  # nothing was synced there yet
            self._ledger.forget_tracked()
        if meta.tracker != uri:
            meta.tracker = uri
        if meta.tracker_is_default != (default := is_default(uri, self.destination.folder)):
            meta.tracker_is_default = default
        if meta.tracker_experiment != experiment:
            meta.tracker_experiment = experiment
        if meta.tracker_experiment_id != experiment_id:
            meta.tracker_experiment_id = experiment_id
        self._runs = Inventory(self._client, experiment_id, self.destination, self._ledger, self._health)
        self._connected = True

    def _ship_trials(self) -> None:
        if self._ship_pending():
            self._runs.look()  # a deleted run or an emptied store may be the reason
            self._refused.update(self._ship_pending())

    def _ship_pending(self) -> dict[str, str]:
        """Send the new data of every trial; return by run_key why MLflow refused it."""
        due: dict[str, list[Attempt]] = {}
        for attempt in self._ledger.attempts(untracked=True):
            run, *_ = self._runs.noted(attempt.run_key, attempt.attempt) or ("",)
            if run not in self._runs.deleted and attempt.run_key not in self._refused:
                due.setdefault(attempt.run_key, []).append(attempt)
        self._health.left = left = len(due)
        refused: dict[str, str] = {}
        for key in sorted(due, key=lambda key: self._failed[key]):
            try:
                for attempt in due[key]:
                    self._ship_attempt(attempt)
            except Exception as error:
                if not is_refusal(error):
                    self._failed[key] += 1  # try the others first next time
                    raise
                refused[key] = f"MLflow refuses trial {self._ledger.trial(key).number}: {reason_of(error)}"
            self._health.left = left = left - 1
        return refused

    def _ship_attempt(self, attempt: Attempt) -> None:
        key, number, running = attempt.run_key, attempt.attempt, attempt.state == "running"
        known = self._runs.noted(key, number)
        shipped = known[1] if known else 0
        if known and running and not self._ledger.epochs(key, after=shipped):
            return
        epochs = self._ledger.epochs(key)
        own = [epoch for epoch in epochs if epoch.attempt == number]
        if number > 1 and running and not own:
            return  # its first epoch tells whether it continues the previous attempt's run
        opener = opener_of(number, epochs)
        run = known[0] if known else self._runs.run_of(key, opener) or self._make_child(attempt, opener)
        if run in self._runs.deleted:
            return
        new = [epoch for epoch in own if epoch.seq > shipped]
        params: dict[str, str] = {}
        if known is None and opener == number:
            params = params_of(self._ledger.trial(key).config, self.destination.columns)
            new = [*earlier_epochs(own, epochs, below=True), *new]
            self._log_images(run, self._ledger.trial(key))
        if known is None and opener == number > 1:
            self._runs.supersede(self._runs.run_of(key, opener_of(number - 1, epochs)))
        if known is None and opener < number and running:
            self._health.call(("reopen", run, number), self._client.update_run, run, status="RUNNING")
        if running:
            self._log(run, new, params, place_tags(attempt) if not shipped else {})
        else:
            beyond = earlier_epochs(own, epochs, below=False) if opener == number else []
            tags = place_tags(attempt) | end_tags(attempt, goes_on=opener < number)
            self._log(run, [*new, *beyond], params, tags)
            ended = int((attempt.ended or time.time()) * 1000)
            self._health.call(("end", run, number), self._client.set_terminated, run, STATUS[attempt.state], ended)
        seq = max((epoch.seq for epoch in own), default=0)
        if known != (run, seq, attempt.state):
            self._runs.note(key, number, run, seq, attempt.state)

    def _ship_exclusions(self) -> None:
        for key, reason in ship_exclusions(self._client, self._runs, self._ledger, self._health).items():
            self._refused[key] = f"MLflow refuses trial {self._ledger.trial(key).number}: {reason}"

    def _ship_champion(self) -> None:
        """Register the champion's model. If the tracker has no registry, all other data is still synced."""
        champion = self._ledger.meta.champion
        if champion is None:
            return
        shipped = Champions(self._client, self._runs, self._ledger, self.destination, self._health)
        try:
            note = shipped.ship(champion, self._ledger.trial(champion.run_key))
        except Exception as error:
            note, refused = None, f"MLflow refuses the champion's model: {reason_of(error)}"
            if has_no_registry(error):
                note = f"{refused}; its weights: convnn export {self.destination.folder.name} {CHAMPION} FILE"
            elif is_refusal(error):
                self._refused[CHAMPION] = refused
            else:
                raise
        if note is not None and note not in self.notes:
            self.notes.append(note)

    def _make_child(self, attempt: Attempt, opener: int) -> str:
        again = f" (attempt {opener})" if opener > 1 else ""
        trial, columns, sweep = (
            self._ledger.trial(attempt.run_key),
            self.destination.columns,
            self.destination.folder.name,
        )
        tags = run_tags(sweep, trial.number, trial.config, columns, trial.repeat_of)
        if trial.role != SEARCH:
            tags["role"] = trial.role
        return self._runs.make(attempt.run_key, opener, f"{run_name(trial, columns)}{again}", attempt.started, tags)

    def _log_images(self, run: str, trial: Trial) -> None:
        if inputs := datasets(trial.config.data.name, self._ledger.meta.digest):
            self._health.call(("images", run), self._client.log_inputs, run, datasets=inputs)

    def _log(self, run: str, epochs: list[Epoch], params: dict[str, str], tags: dict[str, str]) -> None:
        """Log metrics, parameters and tags in the fewest calls that MLflow's limits allow."""
        from mlflow.entities import Param, RunTag

        metrics = numbers(epochs, self._ledger.meta.metric)
        if not (metrics or params or tags):
            return
        first = {"params": [Param(*item) for item in params.items()], "tags": [RunTag(*item) for item in tags.items()]}
        room = max(0, ENTITIES_PER_CALL - len(params) - len(tags))
        starts = [0, *range(room, len(metrics), ENTITIES_PER_CALL)]
        for start, end in zip(starts, [*starts[1:], len(metrics)], strict=True):
            step = ("log", run, epochs[0].seq if epochs else 0, end, *tags.items())
            self._health.call(step, self._client.log_batch, run, metrics=metrics[start:end], **({} if start else first))

    def _open_parent(self) -> None:
        if self._runs.parent in (self._opened, *self._runs.deleted):
            return
        with self._parent_refused():
            if self._runs.noted(PARENT, 0) != (self._runs.parent, 0, "running"):
                self._health.call("reopen", self._client.update_run, self._runs.parent, status="RUNNING")
                self._runs.note(PARENT, 0, self._runs.parent, 0, "running")
        self._opened = self._runs.parent
        with contextlib.suppress(Exception):  # it is tried again at the end, and then reported
            for name, text in self._files().items():
                self._upload(name, text)

    def _close_parent(self) -> None:
        if self._runs.parent in self._runs.deleted:
            self._refused[PARENT] = (
                f"the sweep's own run {self._runs.parent} is deleted in MLflow; restore it there, from the list of "
                f"deleted runs, and run: convnn sync {self.destination.folder.name}"
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
            self._refused[PARENT] = f"MLflow refuses the sweep's own run {self._runs.parent}: {reason_of(error)}"

    def _ship_summary(self) -> None:
        from mlflow.entities import Metric, RunTag

        found = summary(self.destination.folder.name, self._ledger)
        status = "KILLED" if found.count("running", "interrupted", "waiting") else "FINISHED"
        used = found.used
        values = {field: getattr(used, field) for field in HOURS}
        tags = {"mlflow.note.content": description(found, self._runs.latest(), self._runs.experiment_id)}
        if found.best is not None:
            values |= best_values(found)
            tags["best_run_key"] = found.best.run_key
        board = json_text([row.as_dict() for row in found.rows])
        files = {**self._files(), "leaderboard.json": board}
        digest = hashlib.sha256(repr((status, values, tags, files, REPORT)).encode()).hexdigest()
        if self._runs.noted(PARENT, 0) == (self._runs.parent, 0, digest):
            return
        # The ledger's last time, so that sending the metrics again changes nothing.
        at = max((attempt.ended or attempt.started for attempt in self._ledger.attempts()), default=0.0)
        asked = max((request.at for request in self._ledger.requests()), default=0.0)
        metrics = [Metric(name, value, int(at * 1000), 0) for name, value in values.items()]
        run_tags = [RunTag(*item) for item in tags.items()]
        self._health.call(
            ("summary", digest), self._client.log_batch, self._runs.parent, metrics=metrics, tags=run_tags
        )
        self._health.call(("end", digest), self._client.set_terminated, self._runs.parent, status)
        for name, text in files.items():
            self._upload(name, text)
        self._ship_report(max(at, asked))
        self._runs.note(PARENT, 0, self._runs.parent, 0, digest)

    def _ship_report(self, since: float) -> None:
        """Upload the comparison, if any, and the report, after drawing it again if it is older than `since`."""
        folder = self.destination.folder
        pages = [folder.comparison] if folder.comparison.exists() else []
        try:
            drawn = folder.report.stat().st_mtime >= since
        except OSError:
            drawn = False
        if drawn or self.destination.draw(_log.warning) is not None:
            pages.append(folder.report)
        for path in pages:
            try:
                self._upload(path.name, path.read_text(encoding="utf-8"))
            except Exception as error:
                if not is_refusal(error):
                    raise
                _log.warning("MLflow refuses %s: %s", path.name, reason_of(error))

    def _files(self) -> dict[str, str]:
        folder = self.destination.folder
        files = (folder.spec, folder.manifest, folder.comparison_table)
        return {file.name: without_password(file.read_text(encoding="utf-8")) for file in files if file.exists()}

    def _upload(self, name: str, text: str) -> None:
        content = hashlib.sha256(f"{self._runs.parent} {name} {text}".encode()).hexdigest()
        if content not in self._uploaded:
            self._health.call(("upload", content), self._client.log_text, self._runs.parent, text, name)
            self._uploaded.add(content)
