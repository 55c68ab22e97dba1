"""Runs a sweep: what the ledger says is left, handed to Ray Tune, until nothing is left."""

import contextlib
import logging
import os
import secrets
import shlex
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convnn.data import load_dataset
from search_spaces import SweepSpec, parse_sweep
from tune_jobs.errors import ClusterError, LedgerError, UsageError
from tune_jobs.ledger import Ledger, lease
from tune_jobs.progress import Progress
from tune_jobs.results import Standing, standing
from tune_jobs.search import Job
from tune_jobs.storage import SweepFolder, default_storage, write_manifest
from tune_jobs.tracking import Shipper, tracker_of

SHIP_LAST_S = 60.0
"""How long the end of a sweep waits for the tracker."""

OBJECT_STORE_BYTES = 100 * 2**20
"""Trials read their images from a memory map: nothing of size goes through Ray, which would claim 30% of memory."""

REACH_S = 10.0
"""How long a cluster may take to accept a connection."""

SHOW_EVERY_S = 0.2
"""The live table is redrawn no more often than this."""

_RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # a relative path means the same in a worker as here
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # a trial without a GPU leaves CUDA_VISIBLE_DEVICES alone
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


@dataclass(frozen=True)
class Outcome:
    """How a run of a sweep ended."""

    folder: SweepFolder
    standing: Standing
    exhausted: bool
    interrupted: int | None
    """The signal that interrupted it, if one did."""

    tracker: str
    experiment: str
    tracker_error: str | None

    def summary(self) -> dict[str, Any]:
        """For programs: stable keys."""
        found = self.standing
        return {
            "sweep": found.name,
            "folder": str(self.folder.path),
            "metric": found.metric,
            "goal": found.goal,
            "planned": found.planned,
            "exhausted": self.exhausted,
            "interrupted": self.interrupted,
            "tracker": {"uri": self.tracker, "experiment": self.experiment, "error": self.tracker_error},
            "trials": [row.summary() for row in found.rows],
        }


def run(spec: SweepSpec, progress: Progress, *, storage: Path | None = None, ray_address: str | None = None) -> Outcome:
    """Run a sweep to its end, or go on with it where an earlier run stopped.

    Args:
        spec: What to run.
        progress: Is told what happens.
        storage: Where sweeps live; `default_storage()` if `None`.
        ray_address: A Ray cluster; `RAY_ADDRESS` if `None`, and a local Ray if that is not set.

    Raises:
        LedgerError: If the folder cannot be used, is in use, or holds another sweep of this name.
        DataError: If the images cannot be read.
        ClusterError: If Ray cannot be started or reached.
    """
    folder = SweepFolder((storage or default_storage()) / spec.name)
    _prepare(folder)
    with lease(folder.path):
        ledger = _open(folder, spec)
        try:
            progress.say(f"sweep {spec.name} in {folder.path}")
            ledger.interrupt_running()
            digests = _digests(spec, ledger)
            manifest = write_manifest(folder, digests)
            tracker = tracker_of(spec.tracking.uri, folder)
            experiment = spec.tracking.experiment or spec.name
            shipper = Shipper(folder, tracker, experiment, _tags(manifest, digests))
            shipper.start()
            exhausted, interrupted = _search(spec, folder, ledger, progress, ray_address)
            progress.say("handing the last numbers to MLflow ...")
            tracker_error = shipper.close(SHIP_LAST_S)
            found = standing(spec.name, ledger)
            return Outcome(folder, found, exhausted, interrupted, tracker, experiment, tracker_error)
        finally:
            ledger.close()


def _prepare(folder: SweepFolder) -> None:
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder.path):
            pass
    except OSError as error:
        raise LedgerError(
            f"the sweep's folder {folder.path} cannot be written: {error.strerror}; choose another with --storage."
        ) from error


def _open(folder: SweepFolder, spec: SweepSpec) -> Ledger:
    """The sweep's ledger, made if it is new; refused if the file now says something else."""
    if folder.spec.exists() and folder.ledger.exists():
        before = parse_sweep(folder.spec.read_text(encoding="utf-8"), str(folder.spec)).identity()
        now = spec.identity()
        differing = [path for path in sorted(before.keys() | now.keys()) if before.get(path) != now.get(path)]
        if differing:
            raise UsageError(
                f"a sweep {spec.name!r} is in {folder.path} already and differs in {', '.join(differing[:5])}; its "
                f"results would mix. Run this one under another name: --set name={spec.name}-2."
            )
    ledger = Ledger(folder.ledger, create=True)
    if ledger.meta("started") is None:
        ledger.set_meta("started", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    ledger.set_meta("metric", spec.metric)
    ledger.set_meta("goal", spec.goal)
    planned = spec.planned()
    if planned is not None:
        ledger.set_meta("planned", str(planned))
    part = folder.spec.with_suffix(".partial")
    part.write_text(spec.text, encoding="utf-8")
    part.replace(folder.spec)
    return ledger


def _digests(spec: SweepSpec, ledger: Ledger) -> dict[str, str]:
    """Open every data set of the space, so that missing images are known before any trial; their digests.

    Raises:
        UsageError: If these are other images than the sweep began with.
    """
    found: dict[str, str] = {}
    for data in spec.space.data_sets():
        digest = load_dataset(data.name, data.root).digest
        before = ledger.meta(f"digest.{data.name}") or digest
        if digest != before:
            raise UsageError(
                f"the images of {data.name} in {data.root or 'the default folder'} are not those that the sweep "
                f"{spec.name} began with (digest {digest[:12]}, was {before[:12]}); its results would mix. Give the "
                f"first images with --set space.data.root=..., or start anew with --set name=..."
            )
        ledger.set_meta(f"digest.{data.name}", digest)
        found[data.name] = digest
    return found


def _tags(manifest: dict[str, Any], digests: dict[str, str]) -> dict[str, str]:
    tags = {f"data_digest.{name}": digest for name, digest in digests.items()}
    if manifest["git"]:
        tags["mlflow.source.git.commit"] = manifest["git"]["sha"]
        tags["git_dirty"] = str(manifest["git"]["dirty"]).lower()
    return tags


def _search(
    spec: SweepSpec, folder: SweepFolder, ledger: Ledger, progress: Progress, ray_address: str | None
) -> tuple[bool, int | None]:
    """Hand jobs to Ray until none is left; whether the space was used up, and the signal that ended it early."""
    from tune_jobs.search import Search

    search = Search(spec, ledger)
    if search.done:
        return search.exhausted, None
    progress.say("starting Ray ...")
    with _ray(ray_address or os.environ.get("RAY_ADDRESS")):
        from tune_jobs.scheduling import Desk, task_of

        device = "cuda" if spec.resources.gpus_per_trial > 0 else "cpu"
        show_next = 0.0

        def tell(event: str, job: Job, details: dict[str, Any]) -> None:
            nonlocal show_next
            if event == "end" and details["state"] != "interrupted":
                _drop_checkpoints(folder, job)
            progress.tell(event, job, details)
            begun = time.monotonic()
            if begun >= show_next:
                progress.show(lambda: standing(spec.name, ledger))
                spent = time.monotonic() - begun
                show_next = begun + max(SHOW_EVERY_S, 20 * spent)  # a large sweep's table costs at most a twentieth

        def task(job: Job) -> dict[str, Any]:
            return task_of(
                job,
                folder=folder.attempt(job.run_key, job.attempt),
                resume_from=folder.checkpoints(job.run_key),
                evaluation=spec.evaluation.model_dump(),
                device=device,
                threads=spec.resources.cpus_per_trial,
                checkpoint_every_s=spec.resources.checkpoint_every_s,
            )

        desk = Desk(search, task, tell)
        with _signals(desk) as received:
            _tune(spec, desk)
        for trial_id in list(desk.jobs):
            desk.end(trial_id, "interrupted", "the sweep was interrupted")
        if desk.error is not None:
            raise desk.error
    return search.exhausted, received[0] if received else None


def _tune(spec: SweepSpec, desk: Any) -> None:  # noqa: ANN401 - a Desk; Ray is imported where it is used
    import ray
    from ray import tune

    from tune_jobs.scheduling import DeskScheduler, DeskSearcher, DeskStopper
    from tune_jobs.trainable import train_attempt

    resources = {"cpu": spec.resources.cpus_per_trial, "gpu": spec.resources.gpus_per_trial}
    have = ray.cluster_resources()
    for kind, name in (("CPU", "cpus_per_trial"), ("GPU", "gpus_per_trial")):
        if have.get(kind, 0) < resources[kind.lower()]:
            raise ClusterError(
                f"a trial asks for {resources[kind.lower()]} {kind} and Ray has {have.get(kind, 0):g} in all; "
                f"lower resources.{name}."
            )
    slots = int(have["CPU"] // resources["cpu"])
    if resources["gpu"]:
        slots = min(slots, int(have["GPU"] / resources["gpu"] + 1e-9))
    scratch = Path(tempfile.mkdtemp(prefix="convnn-tune-"))  # Tune's own files: nothing in them is needed again
    try:
        tune.Tuner(
            tune.with_resources(train_attempt, resources),
            tune_config=tune.TuneConfig(
                search_alg=DeskSearcher(desk),
                scheduler=DeskScheduler(desk),
                num_samples=-1,
                max_concurrent_trials=max(1, slots),
                reuse_actors=not resources["gpu"],  # a worker that keeps torch loaded saves seconds per trial
                trial_name_creator=str,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(scratch),
                stop=DeskStopper(desk),
                failure_config=tune.FailureConfig(max_failures=0),
                verbose=0,
            ),
        ).fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _drop_checkpoints(folder: SweepFolder, job: Job) -> None:
    for path in folder.checkpoints(job.run_key):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _signals(desk: Any) -> Iterator[list[int]]:  # noqa: ANN401 - a Desk
    """While Tune runs, SIGINT and SIGTERM stop the sweep at its next step; a second one stops it the hard way."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def stop(number: int, _frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        desk.stopping = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _ray(address: str | None) -> Iterator[None]:
    """A connection to the cluster at `address`, or a Ray of our own on this machine alone."""
    if address is not None:
        _require_listener(address)
    for name, value in _RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # ours, in _signals
    if address is None and "RAY_AUTH_MODE" not in os.environ:
        # A token of this run's own: no other user of the machine can use our Ray, and no file is left at home.
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    import ray

    # Without a dashboard Ray still starts one of its processes, whose only work is to ask the network for a cloud's
    # machine data. Where the port is taken, it does without (docs/adr/0003).
    held = socket.create_server(("127.0.0.1", 0))
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "ignore_reinit_error": False}
    if address is not None:
        options["address"] = address
    else:
        options |= {"include_dashboard": False, "dashboard_port": held.getsockname()[1], "logging_level": logging.FATAL}
        options["object_store_memory"] = OBJECT_STORE_BYTES
        if (quoted := shlex.quote(sys.executable)) != sys.executable:  # Ray hands it to a shell as it is
            options["runtime_env"] = {"py_executable": quoted}
        if sys.platform == "linux":
            # All of 127/8 is this machine. Ray replaces 127.0.0.1 by the address of a network card, which a
            # laptop may lose while the sweep runs.
            options["_node_ip_address"] = "127.0.0.2"
    try:
        with held:
            ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        alone = f"Ray cannot be started here: {reason}; is there room in /tmp and in memory?"
        raise ClusterError(_unreachable(address, reason) if address else alone) from error
    try:
        yield
    finally:
        ray.shutdown()


def _require_listener(address: str) -> None:
    """Ray itself would wait for minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon or not port.isdigit():
        return  # `auto` and the like, which Ray checks at once
    try:
        socket.create_connection((host, int(port)), timeout=REACH_S).close()
    except OSError as error:
        raise ClusterError(_unreachable(address, str(error))) from error


def _unreachable(address: str, reason: str) -> str:
    return f"the Ray cluster at {address} cannot be reached: {reason}; is it up, and is RAY_ADDRESS right?"
