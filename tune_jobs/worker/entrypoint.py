"""One attempt inside a Ray worker: `attempt.train` reported epoch by epoch.

Reports are `{"kind": ...}` with
begin     node, host: the id and the name of this machine; shared: whether it sees the sweep's folder; comes first
origin    epoch, note: where training goes on, and what was wrong with a checkpoint; device: `cpu`, or the GPU's name
epoch     epoch, metrics: as JSON
stopped   the sweep is stopping, and the state is kept
failed    failure, reason: see `tune_jobs.failures`

What the attempt prints goes to `log.txt` in its folder.
"""

import contextlib
import json
import logging
import os
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces import TrialConfig
from search_spaces.sweep import Holdout, Paper
from tune_jobs.record.names import LOG
from tune_jobs.worker.checkpoints import InSweep

if TYPE_CHECKING:
    from convnn.training import EpochResult
    from tune_jobs.search.queue import Job


def task_of(
    job: "Job",
    *,
    folder: Path,
    resume_from: list[Path],
    stop_file: Path,
    ledger: Path,
    evaluation: dict[str, Any],
    device: str,
    threads: int,
    checkpoint_every_s: float,
    keep_last: bool,
) -> dict[str, Any]:
    """What a worker is told: plain data, for any machine of the cluster."""
    return {
        "config": job.config.model_dump_json(by_alias=True),
        "alone": job.alone,
        "folder": str(folder),
        "resume_from": [str(path) for path in resume_from],
        "stop_file": str(stop_file),
        "ledger": str(ledger),
        "evaluation": evaluation,
        "device": device,
        "threads": threads,
        "checkpoint_every_s": checkpoint_every_s,
        "keep_last": keep_last,
    }


def train_attempt(task: dict[str, Any]) -> None:
    """Run the attempt that `task` describes (see `task_of`)."""
    import ray
    from ray import tune

    # Tune uses a worker again only once its last trial's thread has ended, and else says nothing to anyone.
    os.environ.setdefault("TUNE_FUNCTION_THREAD_TIMEOUT_S", "300")
    folder = Path(task["folder"])
    shared = Path(task["ledger"]).exists()
    node = ray.get_runtime_context().get_node_id()
    tune.report({"kind": "begin", "node": node, "host": socket.gethostname(), "shared": shared})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _log_into(folder / LOG)
        config = TrialConfig.model_validate_json(task["config"])
        epochs, last = config.training.epochs, 0
        for result in _results(task, folder, lambda epoch, note: tune.report(_origin(task, epoch, note))):
            metrics, last = result.metrics(), result.epoch
            numbers = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
            print(f"epoch {last}/{epochs}  {numbers}", flush=True)
            if last == 1:
                metrics |= _size(config)
            tune.report({"kind": "epoch", "epoch": last, "metrics": json.dumps(metrics)})
        if last < epochs:
            print("stopped with the sweep", flush=True)
            tune.report({"kind": "stopped"})
    except Exception as error:  # noqa: BLE001 - whatever went wrong is this trial's result, and not the sweep's end
        tune.report(_failed(error))


def _size(config: TrialConfig) -> dict[str, float]:
    """Recorded with the first epoch: here torch is loaded, and a driver need not."""
    from tune_jobs.worker.sizing import size_of

    try:
        return size_of(config)
    except Exception:  # noqa: BLE001 - no trial fails because its size is not known
        traceback.print_exc()
        return {}


def _results(task: dict[str, Any], folder: Path, tell: Callable[[int, str | None], None]) -> "Iterator[EpochResult]":
    from tune_jobs.worker.attempt import train

    stop_file = Path(task["stop_file"])
    evaluation = (Holdout if task["evaluation"]["protocol"] == "holdout" else Paper)(**task["evaluation"])
    checkpoints = InSweep(
        folder,
        [Path(path) for path in task["resume_from"]],
        task["checkpoint_every_s"],
        keep_last=task["keep_last"],
        tell=tell,
    )
    return train(
        TrialConfig.model_validate_json(task["config"]),
        evaluation,
        device=task["device"],
        threads=task["threads"],
        checkpoints=checkpoints,
        stopping=stop_file.exists,
    )


def _origin(task: dict[str, Any], epoch: int, note: str | None) -> dict[str, Any]:
    import torch

    device = torch.cuda.get_device_name() if task["device"] == "cuda" else task["device"]
    return {"kind": "origin", "epoch": epoch, "note": note, "device": device}


def _failed(error: Exception) -> dict[str, Any]:
    from tune_jobs.failures import classify

    failure = classify(error)
    reason = str(error) if failure in ("diverged", "data") else f"{type(error).__name__}: {error}".splitlines()[0]
    with contextlib.suppress(OSError):  # the disk may be full
        if failure != "diverged":
            traceback.print_exc()
        print(f"{failure}: {reason}", flush=True)
    if failure == "data":
        reason = f"{reason} (on {socket.gethostname()})"
    return {"kind": "failed", "failure": failure, "reason": reason}


def _log_into(file: Path) -> None:
    """Send this process's output to `file`; a process that runs several attempts moves on from one to the next."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    logging.basicConfig(level=logging.INFO, stream=sys.__stderr__, format="%(message)s", force=True)
