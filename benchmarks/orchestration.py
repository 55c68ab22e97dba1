"""The cost of a sweep beside its training: ours and plain Ray Tune with Optuna and MLflow, on a synthetic objective.

Run: `python -m benchmarks.orchestration`, about six minutes on two quiet cores. Both sides run the same sweep in turn,
each in a new process: TPE, no stopping rule, reused workers, 3 epochs per trial, an objective that takes no time. The
plain side uses only `Tuner`, `OptunaSearch` and `MLflowLoggerCallback`. Before the figures are computed, the benchmark
checks that MLflow and our ledger have every trial and epoch. Workers log the start of a trial's first step and the end
of its last step. Memory is the driver's growth per trial, from the first quarter of the trials to the end.
"""

import argparse
import contextlib
import itertools
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tune_jobs.worker.reports import Report
    from tune_jobs.worker.task import Task

NAME, EPOCHS = "synthetic", 3
SWEEP = f"""
name: {NAME}
space:
  data: {{name: digits}}
  model:
    layer:
      kind: hybrid
      lambda: {{choice: [0.125, 0.25, 0.5]}}
      k: {{int: [1, 9]}}
      candidates: {{kind: random, r: 64, when_too_few: all}}
  training: {{lr: {{log_uniform: [1.0e-5, 1.0e-2]}}, epochs: {EPOCHS}}}
search: {{sampler: tpe, trials: %d, seed: 0}}
stopping: {{kind: none}}
"""
SIDES = ("ours", "plain")


def accuracies(log: Path, step_s: float, lr: float, share: float, k: int) -> Iterator[float]:
    """Yield the accuracies of both sides' objective; write the start and the end of the last step to `log`."""
    _note(log, "begin")
    for epoch in range(1, EPOCHS + 1):
        time.sleep(step_s)
        if epoch == EPOCHS:
            _note(log, "end")
        yield (1 - 0.5**epoch) * (0.9 - abs(math.log10(lr) + 3) / 10 - abs(share - 0.25) - abs(k - 5) / 50)


def _note(log: Path, what: str) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{os.getpid()} {what} {time.time()}\n".encode())
    os.close(file)


def run_ours(folder: Path, trials: int, step_s: float) -> None:
    """Run a sweep like `convnn run`, except for the objective of its workers."""
    from search_spaces import parse_sweep
    from tune_jobs.driver.run import run
    from tune_jobs.executors.ray_tune.run import open_ray_tune
    from tune_jobs.executors.registry import add_executor
    from tune_jobs.system.garbage import collect_rarely

    collect_rarely()
    add_executor(NAME, partial(open_ray_tune, objective=partial(_objective, folder / "log", step_s)))
    run(parse_sweep(SWEEP % trials), progress=False, storage=folder, executor=NAME)


def _objective(log: Path, step_s: float, task: "Task") -> "Iterator[Report]":
    from tune_jobs.worker.reports import EpochDone, ResumedFrom

    layer: Any = task.config.model.mixing_layer
    yield ResumedFrom(0, None, "cpu")
    for epoch, accuracy in enumerate(accuracies(log, step_s, task.config.training.lr, layer.lam, layer.k), 1):
        yield EpochDone(epoch, {"val/accuracy": accuracy, "val/loss": 1 - accuracy, "epoch_s": step_s})


def run_plain(folder: Path, trials: int, step_s: float) -> None:
    """Run the same sweep with only Ray, Optuna and MLflow."""
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.search.optuna import OptunaSearch

    space = {"lr": tune.loguniform(1e-5, 1e-2), "lam": tune.choice([0.125, 0.25, 0.5]), "k": tune.randint(1, 10)}
    ray.init(num_cpus=os.cpu_count(), log_to_driver=False, logging_level="ERROR")
    tune.Tuner(
        tune.with_resources(partial(_train_plain, folder / "log", step_s), {"cpu": 1}),
        param_space=space,
        tune_config=tune.TuneConfig(
            search_alg=OptunaSearch(metric="accuracy", mode="max", seed=0),
            num_samples=trials,
            max_concurrent_trials=os.cpu_count(),
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            storage_path=str(folder / "tune"),
            verbose=0,
            callbacks=[MLflowLoggerCallback(tracking_uri=f"sqlite:///{folder}/mlflow.db", experiment_name=NAME)],
        ),
    ).fit()


def _train_plain(log: Path, step_s: float, config: dict[str, Any]) -> None:
    from ray import tune

    for accuracy in accuracies(log, step_s, config["lr"], config["lam"], config["k"]):
        tune.report({"accuracy": accuracy, "loss": 1 - accuracy})


def check(side: str, folder: Path, trials: int) -> None:
    """Check that MLflow and our ledger have every trial, and each of its epochs once.

    Raises:
        AssertionError: If one of them does not.
    """
    from mlflow import MlflowClient

    from tune_jobs.record.folder import SweepFolder
    from tune_jobs.record.ledger import Ledger

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    metric, named = ("val/accuracy", "params.k != 'none'") if side == "ours" else ("accuracy", "")
    found = client.search_experiments(filter_string=f"name = '{NAME}'")
    runs = client.search_runs([found[0].experiment_id], named, max_results=50_000)
    assert len(runs) == trials, f"{side}: MLflow has {len(runs)} of {trials} trials"
    for run in runs:
        assert run.info.status == "FINISHED", f"{side}: a run is {run.info.status}"
        epochs = client.get_metric_history(run.info.run_id, metric)
        assert len(epochs) == EPOCHS, f"{side}: MLflow has {len(epochs)} of {EPOCHS} epochs"
    if side == "ours":
        with contextlib.closing(Ledger(SweepFolder(folder / NAME).ledger)) as ledger:
            assert [trial.state for trial in ledger.trials()] == ["complete"] * trials
            assert len(ledger.epochs()) == trials * EPOCHS


def measure(side: str, trials: int, step_s: float) -> dict[str, float]:
    """Run one side in a separate process, check its records, and return its figures."""
    with tempfile.TemporaryDirectory(prefix="convnn-orchestration-") as place:
        folder = Path(place)
        command = [sys.executable, "-m", "benchmarks.orchestration", "--side", side, "--folder", place]
        command += ["--trials", str(trials), "--step-s", str(step_s)]
        started = time.time()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=3600)  # noqa: S603 - this program
        ended = time.time()
        check(side, folder, trials)
        driver = json.loads((folder / "driver.json").read_text())
        events = [line.split() for line in (folder / "log").read_text().splitlines()]
    return _figures([(pid, what, float(at)) for pid, what, at in events], driver, started, ended)


def _figures(
    events: list[tuple[str, str, float]], driver: Mapping[str, float], started: float, ended: float
) -> dict[str, float]:
    firsts, lasts = ([at for _, what, at in events if what == name] for name in ("begin", "end"))
    gaps = []
    for worker in {pid for pid, _, _ in events}:
        own = [(what, at) for pid, what, at in events if pid == worker]
        gaps += [at - before for (_, before), (what, at) in itertools.pairwise(own) if what == "begin"]
    return {
        "trials per minute": 60 * len(lasts) / (max(lasts) - min(firsts)),
        "gap, median s": statistics.median(gaps),
        "gap, 95th percentile s": sorted(gaps)[int(0.95 * len(gaps))],
        "start to first step s": min(firsts) - started,
        "first step to the second worker's first step s": _second(events) - min(firsts),
        "last trial's end to exit s": ended - max(lasts),
        "driver CPU s per trial": driver["cpu_s"] / len(lasts),
        "driver memory KB per trial": driver["kb_per_trial"],
    }


def _second(events: list[tuple[str, str, float]]) -> float:
    firsts: dict[str, float] = {}
    for pid, _, at in events:
        firsts.setdefault(pid, at)
    return sorted(firsts.values())[1] if len(firsts) > 1 else math.inf  # one worker did all trials


def run_side(side: str, folder: Path, trials: int, step_s: float) -> None:
    """Run one side as the driver, and write its CPU time and memory to `folder`."""
    seen: dict[int, float] = {}
    watch = threading.Thread(target=lambda: seen.update(_memory(folder / "log", trials)), daemon=True)
    watch.start()
    (run_ours if side == "ours" else run_plain)(folder, trials, step_s)
    used = os.times()
    watch.join(10)
    first, last = min(seen), max(seen)
    grown = (seen[last] - seen[first]) / (last - first) if last > first else math.nan
    (folder / "driver.json").write_text(json.dumps({"cpu_s": used.user + used.system, "kb_per_trial": grown}))


def _memory(log: Path, trials: int) -> Iterator[tuple[int, float]]:
    """Yield the driver's memory in KB after a quarter of the trials, and after all but two."""
    for wanted in (trials // 4, trials - 2):
        while not log.exists() or log.read_text().count("end") < wanted:
            time.sleep(0.2)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        yield wanted, pages * os.sysconf("SC_PAGE_SIZE") / 1000


def main() -> int:
    """Measure both sides and print the results."""
    parser = argparse.ArgumentParser(description="Measure the cost of a sweep beside its training.")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--step-s", type=float, default=0.0, help="seconds of one epoch")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=SIDES, help="measure only one side")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        run_side(given.side, given.folder, given.trials, given.step_s)
        if given.side == "ours":
            os._exit(0)  # as `convnn` does: Python would spend more than a second on taking its modules apart
        return 0
    sides = [given.only] if given.only else SIDES
    found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, Ray {version('ray')}, "
        f"Optuna {version('optuna')}, MLflow {version('mlflow')}; load {os.getloadavg()[0]:.1f}; {given.trials} trials "
        f"of {EPOCHS} epochs of {given.step_s:g} s\n"
    )
    for _ in range(given.repeats):
        for side in sides:
            found[side].append(measure(side, given.trials, given.step_s))
            print(f"{side}: {', '.join(f'{what} {value:.3g}' for what, value in found[side][-1].items())}", flush=True)
    print("\n| side | figure | median | least to most | n |\n|---|---|---|---|---|")
    for side, runs in found.items():
        for what in runs[0]:
            values = sorted(run[what] for run in runs)
            low, high = values[0], values[-1]
            print(f"| {side} | {what} | {statistics.median(values):.3g} | {low:.3g} to {high:.3g} | {len(values)} |")
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")
    return 0


if __name__ == "__main__":
    sys.exit(main())
