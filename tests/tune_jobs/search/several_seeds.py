"""A sweep whose configurations have several seeds, and what its sampler receives about them."""

from typing import Any

from optuna.trial import TrialState

from search_spaces import SweepSpec, parse_sweep, run_key
from tests.tune_jobs.search.recorded import Recorded
from tune_jobs.events import Job
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import Trial

EPOCHS = 4
RULES = ["{kind: asha, grace_epochs: 1, reduction_factor: 2}", "{kind: median, startup_trials: 1}", "{kind: auto}"]


def spec(
    repeats: int = 3, sampler: str = "{sampler: tpe, trials: 6}", rule: str = "{kind: none}", **more: str
) -> SweepSpec:
    text = f"""
name: repeats
space:
  model: {{width: 0.125, layer: {{kind: hybrid, lambda: {{choice: [0.25, 0.5, 0.75, 1]}}, k: {{int: [1, 9]}}}}}}
  training: {{lr: 1e-3, epochs: {EPOCHS}, seed: 5}}
search: {sampler}
stopping: {rule}
"""
    overrides = [f"search.repeats={repeats}", *(f"{path.replace('__', '.')}={value}" for path, value in more.items())]
    return parse_sweep(text, overrides=overrides)


def value(job: Job, epoch: int = EPOCHS) -> float:
    """Return a value that depends on the configuration, and a little on the seed."""
    layer = job.config.model.mixing_layer
    height: float = 0.5 + getattr(layer, "lam", 0) / 10 - abs(getattr(layer, "k", 0) - 5) / 50
    return (height + (job.config.training.seed * 7919 % 13) / 1000) * (1 - 0.5**epoch)


def train(search: Recorded, job: Job, epochs: int = EPOCHS) -> None:
    for epoch in range(1, epochs + 1):
        if not search.study.knows(job.run_key, epoch) and search.report(
            job, epoch, {"val/accuracy": value(job, epoch)}
        ):
            search.end(job, "stopped")
            return
    search.end(job, "complete" if epochs == EPOCHS else "interrupted")


def to_the_end(search: Recorded) -> list[tuple[int, int]]:
    """Run the search to its end, and return number and seed of each started trial."""
    found = []
    while (job := search.next()) is not None:
        found.append((job.number, job.config.training.seed))
        train(search, job)
    return found


def of(ledger: Ledger) -> dict[str, list[Trial]]:
    """Return the trials by the key of their configuration's first trial."""
    found: dict[str, list[Trial]] = {}
    for trial in ledger.trials():
        found.setdefault(trial.repeat_of or trial.run_key, []).append(trial)
    return found


def heard(search: Recorded) -> dict[str, tuple[TrialState, float | None]]:
    """Return the sampler's state and value of each configuration, by the key of its first trial."""
    return {
        run_key(search.spec.space.resolve(Fixed(trial.params))): (trial.state, trial.value)
        for trial in search.study.trials
        if not trial.constraints
    }


class Fixed:
    def __init__(self, params: dict[str, Any]) -> None:
        self._params = params

    def choose(self, path: str, domain: object) -> Any:
        del domain
        return self._params[path]


def next_job(search: Recorded) -> Job:
    job = search.next()
    assert job is not None
    return job
