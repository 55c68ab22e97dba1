"""The same sweep with Ray Tune and Optuna by hand: the claims that the README makes about them, each one run.

Run: `python -m benchmarks.by_hand`, about a minute on two CPU cores. It downloads nothing.
"""

import inspect
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import optuna
import ray
import torch
from ray import tune
from ray.tune import schedulers

from convnn import HybridBranch2d

MISSPELT = "name: by-hand\nspace: {model: {layer: {kind: hybrid, lamda: 0.5, k: 9, candidates: {kind: all}}}}\n"
SPACE = """\
name: by-hand
space: {model: {layer: {kind: hybrid, lambda: {choice: [0, 0.5]}, k: {choice: [4, 9, 12]}, candidates: {kind: all}}}}
search: {sampler: grid}
"""


def main() -> None:
    """Print each claim with what happened here."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _misspelt_field(folder)
        _equal_configurations(folder)
    _numbers_of_methods()


def _misspelt_field(folder: Path) -> None:
    seconds, text = _convnn(folder, MISSPELT, "validate")
    print(f"## A misspelt field\n\nconvnn validate, after {seconds:.1f} s: {text}")
    started = time.monotonic()
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        results = tune.Tuner(
            _train,
            param_space={"lamda": 0.5, "k": 9},
            run_config=tune.RunConfig(storage_path=str(folder), verbose=0),
        ).fit()
    finally:
        ray.shutdown()
    (error,) = results.errors
    reason = str(error).strip().splitlines()[-1]
    print(f"Ray Tune, after {time.monotonic() - started:.1f} s, in a trial that has failed: {reason}\n")


def _train(config: dict[str, Any]) -> None:
    torch.manual_seed(0)
    layer = HybridBranch2d(8, 8, kernel_size=3, **config)
    tune.report({"mean": layer(torch.rand(2, 8, 8, 8)).mean().item()})


def _equal_configurations(folder: Path) -> None:
    _, text = _convnn(folder, SPACE, "plan")
    count = next(line.strip() for line in text.splitlines() if "distinct" in line)
    grid: dict[str, list[float]] = {"lambda": [0.0, 0.5], "k": [4, 9, 12]}
    study = optuna.create_study(sampler=optuna.samplers.GridSampler(grid, seed=0))
    study.optimize(lambda trial: trial.suggest_float("lambda", 0, 0.5) * trial.suggest_int("k", 4, 12))
    convolutions = sum(trial.params["lambda"] == 0 for trial in study.trials)
    print(
        "## lambda = 0 is a convolution, with any k\n\n"
        f"convnn plan: {count}\n"
        f"Optuna's grid: {len(study.trials)} trials, {convolutions} of them the same convolution\n"
    )


def _numbers_of_methods() -> None:
    samplers = [name for name in optuna.samplers.__all__ if name.endswith("Sampler") and name != "BaseSampler"]
    rules = [
        name for name in optuna.pruners.__all__ if name.endswith("Pruner") and name not in ("BasePruner", "NopPruner")
    ]
    classes = {
        found
        for found in vars(schedulers).values()
        if inspect.isclass(found) and issubclass(found, schedulers.TrialScheduler)
    } - {schedulers.TrialScheduler, schedulers.FIFOScheduler}
    print(
        "## Samplers and stopping rules\n\n"
        f"Optuna {optuna.__version__}: {len(samplers)} samplers, {len(rules)} stopping rules\n"
        f"Ray Tune {ray.__version__}: {len(classes)} schedulers"
    )


def _convnn(folder: Path, text: str, command: str) -> tuple[float, str]:
    """Run a command on a file with this text; return its seconds and its output."""
    file = folder / "by-hand.yaml"
    file.write_text(text, encoding="utf-8")
    code = "import sys; from tune_jobs.cli import main; sys.exit(main())"
    started = time.monotonic()
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", code, command, file.name],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return time.monotonic() - started, (done.stdout + done.stderr).strip()


if __name__ == "__main__":
    main()
