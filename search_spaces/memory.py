"""The memory that a trial needs, in closed form and without torch: at least, and about.

Parameters are exact. For the least, only those activations are counted that no implementation can do without, so that a
trial said not to fit does not fit. What a trial needs about has the layers' own activations and, on the CPU, what its
process takes beside them; `python -m benchmarks.memory` compares it with what is measured.
"""

from collections.abc import Sequence

from convnn.data.facts import DATASETS
from search_spaces.base import Infeasible
from search_spaces.models.base import Kept
from search_spaces.trial import TrialConfig

OPTIMIZER_BYTES = {"adamw": 16, "sgd": 12}
"""Per parameter in float32: weight, gradient and the optimizer's own."""

PROGRAM_BYTES = 800_000_000
"""Of a process that trains on the CPU, whatever its trial: Python, torch, and what both compile."""

LARGE_BYTES = 2**25
"""The C library gives a block of this size back to the system as soon as it is free."""

SCATTERED = 2.25
"""What smaller blocks take, gaps between them included, as a multiple of their own size."""

BATCH_SIZE = "training.batch_size"
"""The field that memory is said of."""


def least_memory_gb(trial: TrialConfig) -> float:
    """What a training step of `trial` needs at least, in 10^9 bytes."""
    model, training = trial.model, trial.training
    number = 2 if training.precision == "bf16" else 4
    weights = held_of(trial, model.parameters(DATASETS[trial.data.name].classes)) * OPTIMIZER_BYTES[training.optimizer]
    return (weights + number * _batch(trial) * model.activations()) / 1e9


def needed_gb(trial: TrialConfig, parameters: int, kept: Sequence[Kept], *, gpu: bool) -> float:
    """About the peak of training, in 10^9 bytes: on a GPU what lies there, else all of the process.

    Args:
        trial: Which.
        parameters: Of its model.
        kept: What a step keeps for its backward pass.
        gpu: Whether it trains on one.
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
    """Of the model's parameters those that training holds."""
    return parameters - (trial.model.folded() if trial.training.optimizer == "adamw" else 0)


def too_large(trial: TrialConfig, limit_gb: float | None) -> Infeasible | None:
    """Why `trial` does not fit into `limit_gb`, if it surely does not."""
    if limit_gb is None or (least := least_memory_gb(trial)) <= limit_gb:
        return None
    rule = f"needs at least {least:.2f} GB in batches of {trial.training.batch_size}, and a trial has {limit_gb:g} GB"
    way = "take a smaller batch or model, or a larger share of the GPU"
    return Infeasible(BATCH_SIZE, f"{rule} (resources.gpu_mem_gb)", way_out=way)
