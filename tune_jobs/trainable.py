"""One attempt inside a Ray worker: `attempt.train` reported epoch by epoch.

Reports are `{"kind": "epoch", "epoch": n, "metrics": JSON}`, and `{"kind": "end", "state": ..., "reason": ...}` when
the attempt ends by anything but its last epoch. What the attempt prints goes to `log.txt` in its folder.
"""

import json
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from search_spaces import TrialConfig
from search_spaces.sweep import Holdout, Paper


def train_attempt(task: dict[str, Any]) -> None:
    """Run the attempt that `task` describes (see `task_of` in `tune_jobs.scheduling`)."""
    from ray import tune

    folder = Path(task["folder"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _log_into(folder / "log.txt")
        for epoch, metrics in _epochs(task, folder):
            tune.report({"kind": "epoch", "epoch": epoch, "metrics": json.dumps(metrics)})
    except Exception as error:  # noqa: BLE001 - whatever went wrong is this trial's result, and not the sweep's end
        state, reason = _verdict(error)
        if state == "failed":
            traceback.print_exc()
        print(f"{state}: {reason}", flush=True)
        tune.report({"kind": "end", "state": state, "reason": reason})


def _epochs(task: dict[str, Any], folder: Path) -> Any:  # noqa: ANN401 - pairs of epoch and metrics
    from tune_jobs.attempt import train

    config = TrialConfig.model_validate_json(task["config"])
    evaluation = (Holdout if task["evaluation"]["protocol"] == "holdout" else Paper)(**task["evaluation"])
    results = train(
        config,
        evaluation,
        device=task["device"],
        threads=task["threads"],
        checkpoint=folder / "checkpoint.pt",
        resume_from=[Path(path) for path in task["resume_from"]],
        every_s=task["checkpoint_every_s"],
        insurance=True,
    )
    for result in results:
        metrics = result.metrics()
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        print(f"epoch {result.epoch}/{config.training.epochs}  {numbers}", flush=True)
        yield result.epoch, metrics


def _verdict(error: Exception) -> tuple[str, str]:
    from convnn.training import Diverged

    if isinstance(error, Diverged):
        return "diverged", str(error)
    return "failed", f"{type(error).__name__}: {error}".splitlines()[0]


def _log_into(file: Path) -> None:
    """Send this process's output to `file`; a process that runs several attempts moves on from one to the next."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    logging.basicConfig(level=logging.INFO, stream=sys.__stderr__, format="%(message)s", force=True)
