"""The memory that a trial needs at least, in closed form and without torch.

Parameters are exact. Of the activations that a training step keeps, only those are counted that no implementation can
do without, so that a trial said not to fit does not fit; `convnn plan` has the layers' own number.
"""

from convnn.data.facts import DATASETS
from search_spaces.base import Infeasible
from search_spaces.trial import TrialConfig

OPTIMIZER_BYTES = {"adamw": 16, "sgd": 12}
"""Per parameter in float32: weight, gradient and the optimizer's own."""

BATCH_SIZE = "training.batch_size"
"""The field that memory is said of."""


def least_memory_gb(trial: TrialConfig) -> float:
    """What a training step of `trial` needs at least, in 10^9 bytes."""
    model, training = trial.model, trial.training
    number = 2 if training.precision == "bf16" else 4
    weights = held_of(trial, model.parameters(DATASETS[trial.data.name].classes)) * OPTIMIZER_BYTES[training.optimizer]
    batch = min(training.batch_size, trial.data.limit or training.batch_size)
    return (weights + number * batch * model.activations()) / 1e9


def held_of(trial: TrialConfig, parameters: int) -> int:
    """Of the model's parameters those that training holds."""
    return parameters - (trial.model.folded() if trial.training.optimizer == "adamw" else 0)


def too_large(trial: TrialConfig, limit_gb: float | None) -> Infeasible | None:
    """Why `trial` does not fit into `limit_gb`, if it surely does not."""
    if limit_gb is None or (least := least_memory_gb(trial)) <= limit_gb:
        return None
    rule = f"needs at least {least:.2f} GB in batches of {trial.training.batch_size}, and a trial has {limit_gb:g} GB"
    way = "take a smaller batch or model, or a larger share of the GPU"
    return Infeasible(BATCH_SIZE, f"{rule} (resources.gpu_mem_gb)", way_out=way)
