"""The memory that a trial needs, in closed form and without torch: a lower bound, and an estimate.

Parameters are exact. The lower bound counts only activations that every implementation needs, so a trial above the
limit certainly does not fit. The estimate adds the layers' own activations and, on the CPU, the memory of the process
itself. `python -m benchmarks.memory` compares the estimate with measurements.
"""

from collections.abc import Sequence

from convnn.data.facts import DATASETS
from search_spaces.base import Infeasible
from search_spaces.models.base import Kept
from search_spaces.trial import TrialConfig

OPTIMIZER_BYTES = {"adamw": 16, "sgd": 12}
"""Bytes per parameter in float32: weight, gradient and optimizer state."""

PROGRAM_BYTES = 800_000_000
"""Memory of any process that trains on the CPU: Python, torch, and the code that they compile."""

LARGE_BYTES = 2**25
"""The C library returns blocks of this size or more to the system as soon as they are free."""

SCATTERED = 2.25
"""Memory of smaller blocks, gaps included, as a multiple of their size."""

BATCH_SIZE = "training.batch_size"
"""The field that memory problems are reported for."""


def least_memory_gb(trial: TrialConfig) -> float:
    """Return a lower bound on the memory of a training step of `trial`, in 10^9 bytes."""
    model, training = trial.model, trial.training
    number = 2 if training.precision == "bf16" else 4
    weights = held_of(trial, model.parameters(DATASETS[trial.data.name].classes)) * OPTIMIZER_BYTES[training.optimizer]
    return (weights + number * _batch(trial) * model.activations()) / 1e9


def needed_gb(trial: TrialConfig, parameters: int, kept: Sequence[Kept], *, gpu: bool) -> float:
    """Estimate the peak memory of training, in 10^9 bytes: the memory on the GPU, or the whole process on the CPU.

    Args:
        trial: The configuration.
        parameters: Number of parameters of its model.
        kept: Numbers that a step keeps for its backward pass.
        gpu: Whether it trains on a GPU.
    """
    number = 2 if trial.training.precision == "bf16" else 4
    weights = held_of(trial, parameters) * OPTIMIZER_BYTES[trial.training.optimizer]
    per_number = number * _batch(trial)
    if gpu:
        return (weights + per_number * sum(part.numbers for part in kept)) / 1e9
    spread = [1.0 if per_number * part.tensor >= LARGE_BYTES else SCATTERED for part in kept]
    step = weights + per_number * sum(part.numbers * more for part, more in zip(kept, spread, strict=True))
    return (PROGRAM_BYTES + max(step, 4 * parameters)) / 1e9


def _batch(trial: TrialConfig) -> int:
    return min(trial.training.batch_size, trial.data.limit or trial.training.batch_size)


def held_of(trial: TrialConfig, parameters: int) -> int:
    """Return how many of the model's parameters training holds in memory."""
    return parameters - (trial.model.folded() if trial.training.optimizer == "adamw" else 0)


def too_large(trial: TrialConfig, limit_gb: float | None) -> Infeasible | None:
    """Return why `trial` does not fit into `limit_gb`; `None` if it may fit."""
    if limit_gb is None or (least := least_memory_gb(trial)) <= limit_gb:
        return None
    rule = f"needs at least {least:.2f} GB in batches of {trial.training.batch_size}, but a trial has {limit_gb:g} GB"
    way = "use a smaller batch or model, or a larger share of the GPU"
    return Infeasible(BATCH_SIZE, f"{rule} (resources.gpu_mem_gb)", way_out=way)
