"""Runs a sweep: what the ledger says is left, handed to Ray Tune, until nothing is left."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convnn.data import load_dataset
from search_spaces import SweepSpec, differences
from tune_jobs.display.live import Progress
from tune_jobs.driver.limits import Halt, budget_of_trials, halt_for_limits, none_found
from tune_jobs.driver.retention import Keeper
from tune_jobs.errors import ClusterError, LedgerError, UsageError
from tune_jobs.executors.ray_tune.session import machines, per_trial, ray_session, slots
from tune_jobs.record.folder import SweepFolder, default_storage, recorded_spec
from tune_jobs.record.lease import lease
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.manifest import manifest_tags, write_manifest
from tune_jobs.record.rows import Halted
from tune_jobs.report import draw_at_end
from tune_jobs.results.summary import Summary, summary
from tune_jobs.system.files import is_full, write_whole
from tune_jobs.system.scratch import scratch_folder
from tune_jobs.system.signals import Interrupted, Signals, handled_signals
from tune_jobs.tracking.mlflow.shipper import Shipper, Tracked, tracked, tracker_of

if TYPE_CHECKING:
    from tune_jobs.driver.controller import Desk
    from tune_jobs.search.queue import Job, Search

SHIP_LAST_S = 40.0
"""How long the end of a sweep waits for a tracker that does not answer."""

SHIP_LAST_INTERRUPTED_S = 10.0
"""The same, where a person has stopped it."""

PROBE_BYTES = 100_000
"""Room that a sweep's folder must have for its first files."""

MOST = 10_000
"""So many workers Tune may start at a time; without a number it would start one after another."""

SHOW_EVERY_S = 0.2
"""The live table is redrawn no more often than this."""


@dataclass(frozen=True)
class Outcome:
    """How a run of a sweep ended."""

    folder: SweepFolder
    summary: Summary
    exhausted: bool
    halt: Halt | None
    """What ended it early, if something did."""

    tracked: Tracked

    def as_dict(self) -> dict[str, Any]:
        """For programs: stable keys."""
        found, halt = self.summary, self.halt
        return {
            **found.as_dict(),
            "folder": str(self.folder.path),
            "exhausted": self.exhausted,
            "interrupted": halt.signal if halt else None,
            "tracker": asdict(self.tracked),
        }


def run(
    spec: SweepSpec,
    progress: Progress,
    *,
    storage: Path | None = None,
    ray_address: str | None = None,
    reopen: Callable[[Ledger], frozenset[str]] | None = None,
) -> Outcome:
    """Run a sweep to its end, or go on with it where an earlier run stopped.

    Args:
        spec: What to run.
        progress: Is told what happens.
        storage: Where sweeps live; `default_storage()` if `None`.
        ray_address: A Ray cluster; `RAY_ADDRESS` if `None`, and a local Ray if that is not set.
        reopen: Makes ended trials due again; only those that it names are run.

    Raises:
        LedgerError: If the folder cannot be used, is in use, or holds another sweep of this name.
        UsageError: If the sweep in the folder is another one, or `reopen` finds nothing.
        DataError: If the images cannot be read.
        ClusterError: If Ray cannot be started or reached.
        Interrupted: If a signal arrives before the first trial, or a second one at any time.
    """
    folder = SweepFolder((storage or default_storage()) / spec.name)
    _prepare(folder)
    with lease(folder.path), handled_signals() as signals:
        folder.pause_file.unlink(missing_ok=True)  # a wish of an earlier run
        ledger = _open(folder, spec)
        try:
            progress.say(f"sweep {spec.name} in {folder.path}")
            ledger.interrupt_running()
            digests = _digests(spec, ledger)
            manifest = write_manifest(folder, digests)
            tracker = tracker_of(spec.tracking.uri, folder, ledger)
            shipper = Shipper(folder, tracker, spec.experiment, manifest_tags(manifest))
            shipper.start()
            parts = _Parts(spec, folder, ledger, progress, signals)
            ledger.meta.halted = None
            try:
                exhausted, halt = _search(parts, ray_address or os.environ.get("RAY_ADDRESS"), reopen)
                if halt is not None:
                    ledger.meta.halted = Halted(halt.cause, halt.message)
            except BaseException as error:  # nothing writes to the ledger once the lease is given up
                shipper.close(0 if signals.twice or isinstance(error, LedgerError) else SHIP_LAST_INTERRUPTED_S)
                raise
            _draw(parts, shipper, halt)
            missing = _ship_the_rest(shipper, progress, halt)
            place = tracked(ledger, tracker, spec.experiment, missing)
            return Outcome(folder, summary(spec.name, ledger), exhausted, halt, place)
        finally:
            ledger.close()


def _prepare(folder: SweepFolder) -> None:
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder.path) as probe:
            probe.write(bytes(PROBE_BYTES))
            probe.flush()
    except OSError as error:
        way_out = "make room there" if is_full(error) else "choose another with --storage"
        raise LedgerError(
            f"the sweep's folder {folder.path} cannot be written: {error.strerror}; {way_out}."
        ) from error


def _open(folder: SweepFolder, spec: SweepSpec) -> Ledger:
    """The sweep's ledger, made if it is new; refused if the file now says something else."""
    if folder.spec.exists() and folder.ledger.exists():
        before = recorded_spec(folder)
        differing = differences(before, spec)
        if differing:
            raise UsageError(
                f"a sweep {spec.name!r} is in {folder.path} already, and it is another one; results would mix:\n"
                + "".join(f"  {line}\n" for line in differing)
                + f"Only budget, search.trials, stopping.max_failed_fraction, tracking and resources (but not whether "
                f"there is a GPU, and a trial's share of gpu_mem_gb) may change. Run its file under another name "
                f"(convnn run FILE --set name={spec.name}-2), or start over (convnn run FILE --fresh)."
            )
    ledger = Ledger(folder.ledger, create=True)
    if not folder.spec.exists() and ledger.trials():
        ledger.close()
        raise UsageError(
            f"{folder.spec} is missing, so nobody can tell whether these are trials of the same sweep; put it back, or "
            f"start over: convnn run FILE --fresh."
        )
    meta = ledger.meta
    if meta.started is None:
        meta.started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    meta.metric = spec.metric
    meta.goal = spec.goal
    meta.budget = spec.budget.model_dump(exclude_none=True)
    planned = spec.planned()
    if planned is not None:
        meta.planned = planned
    write_whole(folder.spec, spec.text)
    return ledger


def _digests(spec: SweepSpec, ledger: Ledger) -> dict[str, str]:
    """Open every data set of the space, so that missing images are known before any trial; their digests.

    Raises:
        UsageError: If these are other images than the sweep began with.
    """
    found: dict[str, str] = {}
    for data in spec.space.data_sets():
        digest = load_dataset(data.name, data.root).digest
        before = ledger.meta.digest(data.name) or digest
        if digest != before:
            raise UsageError(
                f"the images of {data.name} in {data.root or 'the default folder'} are not those that the sweep "
                f"{spec.name} began with (digest {digest[:12]}, was {before[:12]}); its results would mix. Give the "
                f"first images with --set space.data.root=..., or run its file under another name: convnn run FILE "
                f"--set name=..."
            )
        ledger.meta.set_digest(data.name, digest)
        found[data.name] = digest
    return found


def _draw(parts: "_Parts", shipper: Shipper, halt: Halt | None) -> None:
    """Leave a report in the sweep's folder."""
    hurry = halt is not None and halt.signal is not None
    try:
        draw_at_end(parts.folder, 0 if hurry else parts.ledger.usage().wall_hours, parts.progress.say)
    except Interrupted as signal:
        if signal.at_once:
            shipper.close(0)
            raise


def _ship_the_rest(shipper: Shipper, progress: Progress, halt: Halt | None) -> str | None:
    """Wait for the tracker, unless a person is in a hurry; the reason if it does not have everything."""
    progress.say("handing the last numbers to MLflow ...")
    try:
        return shipper.close(
            SHIP_LAST_S if halt is None or halt.signal is None else SHIP_LAST_INTERRUPTED_S,
            progress.say,
        )
    except Interrupted as signal:
        if signal.at_once:
            raise
        return "the wait was interrupted"


@dataclass(frozen=True)
class _Parts:
    """What a run is made of."""

    spec: SweepSpec
    folder: SweepFolder
    ledger: Ledger
    progress: Progress
    signals: Signals


def _search(
    parts: _Parts, ray_address: str | None, reopen: Callable[[Ledger], frozenset[str]] | None
) -> tuple[bool, Halt | None]:
    """Hand jobs to Ray until none is left; whether the space was used up, and what ended it early."""
    from tune_jobs.search.queue import Search

    spec, folder, ledger, signals = parts.spec, parts.folder, parts.ledger, parts.signals
    check = partial(halt_for_limits, spec, folder, ledger, failures=reopen is None)
    if reopen is not None and (halt := check()) is not None:  # before the trials are due: the command can be repeated
        return ledger.meta.exhausted, halt
    search = Search(spec, ledger, reopen(ledger) if reopen else None)
    keeper = Keeper(folder, ledger, spec)
    keeper.tidy()
    if search.done:
        return search.exhausted, None
    halt = check()
    if halt is None and search.idle:
        halt = budget_of_trials(spec)
    if halt is not None:
        return search.exhausted, halt
    parts.progress.say("starting Ray ...")
    with ray_session(ray_address, signals):
        desk = _desk(parts, search, keeper, check)
        signals.on_first = lambda number: desk.stop(Halt("signal", f"stopped by {signal.Signals(number).name}", number))
        try:
            _tune(spec, desk)
        finally:
            signals.on_first = None
            folder.stop_file.unlink(missing_ok=True)
            folder.pause_file.unlink(missing_ok=True)
            if not signals.twice:
                for trial_id in list(desk.running):
                    desk.end(trial_id, "interrupted", "the sweep was stopped")
        if desk.error is not None:
            raise desk.error
    halt = desk.halt or (budget_of_trials(spec) if search.held_back else None)
    if search.done and halt is not None and halt.signal is None:
        halt = None  # the limit was reached with the last trial
    return search.exhausted, halt or (none_found(spec) if search.gave_up else None)


def _desk(parts: _Parts, search: "Search", keeper: Keeper, check: Callable[[], Halt | None]) -> "Desk":
    from tune_jobs.driver.controller import Desk
    from tune_jobs.worker.entrypoint import task_of

    spec, folder, ledger, progress = parts.spec, parts.folder, parts.ledger, parts.progress
    resources = spec.resources
    show_next = 0.0
    charged = time.monotonic()

    def tell(event: str, job: "Job", details: dict[str, Any]) -> None:
        nonlocal show_next
        keeper.tell(event, job, details)
        progress.tell(event, job, details)
        begun = time.monotonic()
        if begun >= show_next:
            progress.show(lambda: summary(spec.name, ledger))
            spent = time.monotonic() - begun
            show_next = begun + max(SHOW_EVERY_S, 20 * spent)  # a large sweep's table costs at most a twentieth

    def charge(seconds: dict[tuple[str, int], float]) -> None:
        nonlocal charged
        now = time.monotonic()
        ledger.charge(seconds, now - charged)
        charged = now

    def max_trial_s(job: "Job") -> float | None:
        if resources.max_trial_hours is None:
            return None
        return resources.max_trial_hours * 3600 - ledger.seconds_before(job.run_key, job.attempt)

    def task(job: "Job") -> dict[str, Any]:
        return task_of(
            job,
            folder=folder.attempt(job.run_key, job.attempt),
            resume_from=folder.checkpoints(job.run_key),
            stop_file=folder.stop_file,
            ledger=folder.ledger,
            evaluation=spec.evaluation.model_dump(),
            device="cuda" if resources.gpus_per_trial > 0 else "cpu",
            threads=resources.cpus_per_trial,
            checkpoint_every_s=resources.checkpoint_every_s,
            keep_last=resources.keep_best > 0,
        )

    folder.stop_file.unlink(missing_ok=True)
    return Desk(
        search,
        task,
        tell,
        check,
        charge=charge,
        max_trial_s=max_trial_s,
        begin_stop=folder.stop_file.touch,
        room=partial(slots, per_trial(resources)),
    )


def _tune(spec: SweepSpec, desk: "Desk") -> None:
    import ray
    from ray import tune

    from tune_jobs.executors.ray_tune.hooks import DeskCallback, DeskScheduler, DeskSearcher, DeskStopper
    from tune_jobs.worker.entrypoint import train_attempt

    asked = per_trial(spec.resources)
    for kind, name in (("CPU", "cpus_per_trial"), ("GPU", "gpus_per_trial")):
        most = max((machine.get(kind, 0.0) for machine in machines()), default=0.0)
        if most < asked[kind]:
            raise ClusterError(
                f"a trial asks for {asked[kind]:g} {kind} and the largest machine of Ray has {most:g}; "
                f"lower resources.{name}."
            )
    alone = asked | ({"GPU": 1.0} if asked["GPU"] else {})  # on the CPU the desk sees to it

    def resources(task: dict[str, Any]) -> tune.PlacementGroupFactory:
        bundle = alone if task["alone"] else asked
        if "avoid" not in task:
            return tune.PlacementGroupFactory([bundle])
        elsewhere = {"ray.io/node-id": f"!in({','.join(task['avoid'])})"}
        return tune.PlacementGroupFactory([bundle], bundle_label_selector=[elsewhere])

    scratch = scratch_folder("tune")  # for Tune's own files, none of which is needed again
    try:
        tune.Tuner(
            tune.with_resources(train_attempt, resources),
            tune_config=tune.TuneConfig(
                search_alg=DeskSearcher(desk),
                scheduler=DeskScheduler(desk),
                num_samples=-1,
                max_concurrent_trials=spec.resources.max_concurrent or MOST,  # the desk knows what there is room for
                reuse_actors=not asked["GPU"],  # a worker that keeps torch loaded saves seconds per trial
                trial_name_creator=str,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(scratch),
                stop=DeskStopper(desk),
                callbacks=[DeskCallback(desk)],
                failure_config=tune.FailureConfig(max_failures=0),
                verbose=0,
            ),
        ).fit()
    except (ray.exceptions.RayError, tune.TuneError, ConnectionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ClusterError(
            f"Ray ended the run: {reason}; nothing is lost, and this goes on: convnn resume {spec.name}"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
