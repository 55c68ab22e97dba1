"""Works out what a sweep will do and cost, before anything starts: no Ray, no images, no training."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from convnn.data import DATASETS
from search_spaces import SweepSpec, TrialConfig
from search_spaces.settings import Holdout
from tune_jobs.executors.capacity import fitting, per_trial
from tune_jobs.planning.devices import Estimate, Work, estimates
from tune_jobs.planning.ladder import (
    Rung,
    earliest_end_of,
    epochs_of,
    further_of,
    is_predictable,
    ladder_of,
    trial_epochs_of,
)
from tune_jobs.planning.resolution import Resolution
from tune_jobs.planning.stopping import stopping_warnings
from tune_jobs.planning.survey import Survey, survey_of
from tune_jobs.planning.warnings import (
    budget_warnings,
    classifier_warnings,
    cpu_warnings,
    likely_mistakes,
    machine_warnings,
    memory_warnings,
    time_limit_warnings,
)
from tune_jobs.results.columns import fields, params, possible, varying
from tune_jobs.system.cpus import usable_cpus
from tune_jobs.system.gpus import gpu_names
from tune_jobs.worker.checkpoints import KEPT
from tune_jobs.worker.sizing import MEASURE_S, TrialCost, cost_of, measured

EVALUATION = 1 / 3
"""Cost of an image in evaluation, as a share of its cost in training: one of three passes."""

BY_FLOPS = "FLOPs of an image's forward pass"
"""How trials are ordered by size."""

MOST_BUILT = 9
"""Most trials that are sized if their models must be built for that."""

_METRICS_PER_EPOCH = 6
_BYTES = {"ledger": 350, "log": 220, "mlflow_metric": 160, "mlflow_param": 110}


@dataclass(frozen=True)
class Plan:
    """Everything that is known about a sweep before it runs; times are `None` if no speed is known."""

    name: str
    points: int | None
    looked_at: int
    infeasible: dict[str, int]
    never: list[str]
    equivalent: int
    distinct: int
    trials: int
    """Number of configurations that are trained."""

    repeats: int
    """Number of seeds of each configuration whose first seed runs to its last epoch."""

    runs: int
    """Number of trials of all seeds together."""

    ladder: list[Rung]
    trial_epochs: int
    at_most: bool
    """Whether epochs, hours, disk and rows are upper limits, because the stopping rule depends on results."""

    earliest_end: int | None
    """Number of trials after which `stopping.enough` can end the sweep at the earliest; `None` if it cannot."""

    images_per_epoch: int
    sized_by: str
    trial_costs: dict[str, TrialCost]
    memory_gb: float
    """Memory of the trial that needs the most."""

    slots: int
    gpu_hours: float | None
    cpu_hours: float | None
    wall_hours: float | None
    speed_from: str
    estimates: list[Estimate]
    """Hours on the devices with recorded speeds, independent of `speed_from`."""

    budget: dict[str, float]
    disk_gb: float
    mlflow_rows: int
    warnings: list[str]
    resolve: Resolution | None = None
    """What it takes to detect a difference, if requested."""

    def as_dict(self) -> dict[str, Any]:
        """Return the plan for programs, with stable keys."""
        return asdict(self)


def plan(
    spec: SweepSpec,
    *,
    gpus: int | None = None,
    cpus: int | None = None,
    throughput: float | None = None,
    measure: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Plan:
    """Work out what `spec` will do and cost.

    Args:
        spec: The sweep.
        gpus: GPUs that trials may share, if a trial uses any; one if `None`.
        cpus: CPU cores; this machine's if `None`. If either is given, the plan is for another machine, and does not
            cover this machine's memory, GPU and images.
        throughput: Images per second in training of the median trial.
        measure: Train the smallest, the median and the largest trial for a few seconds here to measure their speed.
        say: Receives progress messages.
    """
    survey = survey_of(spec)
    trials, epochs = _trials(spec, survey), epochs_of(spec)
    ladder, repeats = ladder_of(spec, trials, epochs), spec.search.repeats
    trial_epochs = trial_epochs_of(ladder, trials, epochs, repeats)
    runs = trials + further_of(ladder, trials, repeats)
    sized = _sized(survey.configs, gpu=spec.resources.gpus_per_trial > 0)
    costs, most_gb = _costs(sized, spec, measure=measure, say=say), max((c.memory_gb for c, _ in sized), default=0.0)
    train, evaluated = _images(survey.configs[0], spec) if survey.configs else (0, 0)
    slots = min(_slots(spec, gpus or 1, cpus or usable_cpus().count), max(runs, 1))
    here, rate = gpus is None and cpus is None, throughput or _mean_rate(costs)
    hours = trial_epochs * (train + EVALUATION * evaluated) / rate / 3600 if rate else None
    needs = _needs(spec, hours, slots)
    return Plan(
        name=spec.name,
        points=spec.space.size(),
        looked_at=survey.looked_at,
        infeasible=dict(survey.infeasible.most_common()),
        never=spec.space.dead_pairs(),
        equivalent=survey.looked_at - sum(survey.infeasible.values()) - len(survey.configs),
        distinct=len(survey.configs),
        trials=trials,
        repeats=repeats,
        runs=runs,
        ladder=ladder,
        trial_epochs=trial_epochs,
        at_most=not is_predictable(spec) or spec.stopping.enough is not None,
        earliest_end=earliest_end_of(spec, trials),
        images_per_epoch=train,
        sized_by=BY_FLOPS + (f"; {len(sized)} trials were sized" if len(sized) < len(survey.configs) else ""),
        trial_costs=costs,
        memory_gb=most_gb,
        slots=slots,
        **needs,
        speed_from="--throughput" if throughput else "measured on this machine" if rate else "unknown",
        estimates=_estimates(spec, sized, trial_epochs, here=here),
        budget=spec.budget.model_dump(exclude_none=True),
        disk_gb=_disk(runs, trial_epochs) / 1e9 + _checkpoints_gb(spec, [cost for cost, _ in sized], slots, trials),
        resolve=None,
        mlflow_rows=trial_epochs * _METRICS_PER_EPOCH + runs * _params_per_trial(survey.configs),
        warnings=[
            *likely_mistakes(spec, survey, trials, epochs, train),
            *stopping_warnings(spec),
            *cpu_warnings(spec, cpus),
            *memory_warnings(spec, most_gb, slots, here=here),
            *(machine_warnings(spec) if here else ()),
            *classifier_warnings(config for _, config in sized[-1:]),
            *budget_warnings(spec, runs, needs),
            *time_limit_warnings(spec, epochs, hours / trial_epochs if hours else None),
        ],
    )


def _trials(spec: SweepSpec, survey: Survey) -> int:
    asked = getattr(spec.search, "trials", None)
    if survey.whole:
        return min(asked or len(survey.configs), len(survey.configs))
    size, share_valid = spec.space.size(), 1 - sum(survey.infeasible.values()) / max(1, survey.looked_at)
    there = [round(size * share_valid)] if size is not None else []
    return min([*there, *([int(asked)] if asked is not None else [])], default=0)


def _images(config: TrialConfig, spec: SweepSpec) -> tuple[int, int]:
    """Return the number of images in training and in evaluation per epoch."""
    facts = DATASETS[config.data.name]
    limit = config.data.limit or facts.train_images
    pool = min(limit, facts.train_images)
    if isinstance(spec.evaluation, Holdout):
        held = round(pool * spec.evaluation.fraction)
        return pool - held, held
    return pool, min(limit, facts.test_images)


def _needs(spec: SweepSpec, hours: float | None, slots: int) -> dict[str, float | None]:
    """Return the resources for this many hours of training in total, with `slots` trials at a time."""
    if hours is None:
        return dict.fromkeys(("gpu_hours", "cpu_hours", "wall_hours"))
    gpus, cpus = spec.resources.gpus_per_trial, spec.resources.cpus_per_trial
    return {"gpu_hours": hours * gpus if gpus else None, "cpu_hours": hours * cpus, "wall_hours": hours / slots}


def _estimates(
    spec: SweepSpec, sized: list[tuple[TrialCost, TrialConfig]], trial_epochs: int, *, here: bool
) -> list[Estimate]:
    works: list[Work] = []
    for cost, config in sized:
        train, evaluated = _images(config, spec)
        works.append(Work(config, cost.gflops, train + EVALUATION * evaluated))
    names, asked = gpu_names() if here else (), spec.resources
    return estimates(works, trial_epochs, cpus=asked.cpus_per_trial, gpus=asked.gpus_per_trial, here=names)


def _slots(spec: SweepSpec, gpus: int, cpus: int) -> int:
    at_once = max(1, fitting(per_trial(spec.resources), [{"CPU": cpus, "GPU": gpus}]))
    return min(at_once, spec.resources.max_concurrent or at_once)


def _sized(configs: list[TrialConfig], *, gpu: bool) -> list[tuple[TrialCost, TrialConfig]]:
    """Return costs and configurations, the smallest first; only some of them if models must be built for that."""
    if any(None in (config.model.flops(1), config.model.kept(1)) for config in configs):
        configs = configs[:: -(-len(configs) // MOST_BUILT)]
    return sorted(((cost_of(config, gpu=gpu), config) for config in configs), key=lambda sized: sized[0].gflops)


def _costs(
    sized: list[tuple[TrialCost, TrialConfig]], spec: SweepSpec, *, measure: bool, say: Callable[[str], None]
) -> dict[str, TrialCost]:
    """Return the cost of the smallest, the median and the largest trial.

    Their parameters are the paper's and those that differ by depth; if a model has none of the paper's, all that vary.
    """
    places = {"smallest": 0, "median": len(sized) // 2, "largest": -1} if sized else {}
    chosen = {name: sized[place] for name, place in places.items()}
    found: dict[str, TrialCost] = {}
    papers = {name for cost, _ in chosen.values() for name, value in cost.params.items() if value is not None} - {"lr"}
    columns = [column for column in varying(possible(spec)) if not papers or column.stages]
    for name, (cost, config) in chosen.items():
        twin = next((other for other in found if _same_work(chosen[other][1], config)), None)
        rate = found[twin].images_per_s if twin is not None else None
        if measure and twin is None:
            say(f"measuring the {name} trial for {MEASURE_S:g} s ...")
            rate = measured(config, "cuda" if spec.resources.gpus_per_trial else "cpu", spec.resources.cpus_per_trial)
        values = fields(config) if columns else {}
        more = {column.name: values.get(column.key) for column in columns}
        found[name] = replace(cost, images_per_s=rate, params={**more, **(cost.params if papers else {})})
    return found


def _same_work(one: TrialConfig, other: TrialConfig) -> bool:
    return one.model == other.model and one.data == other.data and one.training.batch_size == other.training.batch_size


def _mean_rate(costs: dict[str, TrialCost]) -> float | None:
    """Return the mean images per second of a sweep whose trials lie between the three: the median counts twice."""
    rates = [
        (costs[name].images_per_s, weight) for name, weight in (("smallest", 1), ("median", 2), ("largest", 1)) if costs
    ]
    if not rates or any(rate is None for rate, _ in rates):
        return None
    return 4 / sum(weight / rate for rate, weight in rates if rate)


def _params_per_trial(configs: list[TrialConfig]) -> int:
    return len(params(configs[0])) if configs else 0


def _disk(trials: int, trial_epochs: int) -> int:
    per_epoch = _BYTES["ledger"] + _BYTES["log"] + _METRICS_PER_EPOCH * _BYTES["mlflow_metric"]
    return trial_epochs * per_epoch + trials * 40 * _BYTES["mlflow_param"]


def _checkpoints_gb(spec: SweepSpec, costs: list[TrialCost], slots: int, trials: int) -> float:
    """Return the disk space for checkpoints of running trials and of the best ended ones, if each were the largest."""
    largest = max((cost.checkpoint_gb for cost in costs), default=0.0)
    return largest * (KEPT * slots + min(spec.resources.keep_best, trials))
