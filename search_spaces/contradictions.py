"""Fields of a sweep that are each valid but contradict each other."""

import itertools
from collections.abc import Iterator

from search_spaces.memory import BATCH_SIZE
from search_spaces.nodes import Decided
from search_spaces.settings import Asha, Grid, Holdout, Hyperband, Median, Objective, Patience
from search_spaces.sweep import SweepSpec
from search_spaces.trial import SEEDS, Training


def contradictions(spec: SweepSpec, objective: Objective) -> Iterator[tuple[str, str]]:
    """Yield the path of every contradicting field with a message; `objective` is the one in the file."""
    yield from _objective(spec, objective)
    if isinstance(spec.search, Grid):
        way = "write {choice: [...]}, or search with sampler: tpe or random."
        for path in spec.space.continuous():
            yield path, f"is a range of real numbers, but a grid needs lists; {way}"
    yield from _repeats(spec)
    yield from _memory(spec)
    yield from _budget(spec)
    epochs = spec.space.values("training.epochs", Training().epochs)
    yield from _stopping(spec, max(epochs))
    if "tf32" in spec.space.values("training.precision", Training().precision) and spec.resources.gpus_per_trial == 0:
        way = "set resources.gpus_per_trial, or use fp32 or bf16."
        yield "space.training.precision", f"is tf32, which needs an NVIDIA GPU; {way}"


def _objective(spec: SweepSpec, objective: Objective) -> Iterator[tuple[str, str]]:
    part = "val" if isinstance(spec.evaluation, Holdout) else "test"
    if not spec.metric.startswith(part):
        rule = f"must be {part}/accuracy or {part}/loss with protocol {spec.evaluation.protocol}, got {spec.metric}"
        other = "paper" if part == "val" else "holdout"
        yield "objective.metric", f"{rule}; change it, or set evaluation.protocol: {other}."
    if objective.goal and (objective.goal == "maximize") != spec.metric.endswith("accuracy"):
        yield "objective.goal", f"must not be {objective.goal} for {spec.metric}; leave it out."


def _repeats(spec: SweepSpec) -> Iterator[tuple[str, str]]:
    repeats, seeds = spec.search.repeats, spec.space.values("training.seed", Training().seed)
    if repeats > 1 and len(set(seeds)) > 1:
        way = "give training.seed one value, or leave repeats out."
        yield (
            "search.repeats",
            f"must be 1 if space.training.seed varies, because both choose seeds; got {repeats}; {way}",
        )
    elif max(seeds) + repeats > SEEDS:
        most = f"must keep the last seed, training.seed + repeats - 1, below {SEEDS}"
        yield "search.repeats", f"{most}; got {repeats} with training.seed {max(seeds)}; lower training.seed."


def _stopping(spec: SweepSpec, epochs: int) -> Iterator[tuple[str, str]]:
    rule, way = spec.stopping, "lower it, or train longer."
    if rule.enough is not None and isinstance(spec.search, Grid):
        must = "needs trials in random order, but a grid runs its configurations in file order"
        trials = spec.planned() or "N"
        yield "stopping.enough", f"{must}; search {{sampler: random, trials: {trials}}}, or leave it out."
    if isinstance(rule, Asha | Hyperband | Median) and rule.grace_epochs >= epochs:
        must = f"must be below the number of epochs ({epochs}), or no trial can stop early"
        yield "stopping.grace_epochs", f"{must}; got {rule.grace_epochs}; {way}"
    if isinstance(rule, Patience) and rule.patience_epochs >= epochs - 1:
        must = f"must be below the number of epochs after the first ({epochs - 1}), or no trial can stop early"
        yield "stopping.patience_epochs", f"{must}; got {rule.patience_epochs}; {way}"


def _memory(spec: SweepSpec) -> Iterator[tuple[str, str]]:
    limit = spec.resources.gpu_mem_gb
    if limit is None:
        return
    if not spec.resources.gpus_per_trial:
        yield "resources.gpu_mem_gb", "needs gpus_per_trial above 0, got 0; set it, or leave gpu_mem_gb out."
    elif spec.space.distinct() == 0:
        trials = (spec.space.resolve(Decided(point)) for point in spec.space.points())
        reasons = (reason for trial in trials for reason in spec.infeasibilities(trial) if reason.path == BATCH_SIZE)
        for first in itertools.islice(reasons, 1):
            yield "resources.gpu_mem_gb", f"leaves no trial: {first.path} {first.message}"


def _budget(spec: SweepSpec) -> Iterator[tuple[str, str]]:
    gpus = spec.resources.gpus_per_trial
    if spec.budget.gpu_hours is not None and not gpus:
        rule = "needs resources.gpus_per_trial above 0, got 0"
        yield "budget.gpu_hours", f"{rule}; use budget.cpu_hours, or set gpus_per_trial."
    if spec.budget.cpu_hours is not None and gpus:
        rule = f"needs resources.gpus_per_trial 0, got {gpus:g}"
        yield "budget.cpu_hours", f"{rule}; use budget.gpu_hours."
