"""What a sweep will do and cost, before anything starts: no Ray, no images, no training."""

import itertools
import math
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from convnn.data import DATASETS
from search_spaces import Decided, SweepSpec, TrialConfig, canonical, run_key
from search_spaces.space import POINTS_COUNTED
from search_spaces.sweep import Asha, Grid, Holdout
from search_spaces.trial import Training
from tune_jobs.executors.ray_tune.session import fitting, per_trial
from tune_jobs.results.summary import headline
from tune_jobs.worker.checkpoints import KEPT
from tune_jobs.worker.sizing import MEASURE_S, TrialCost, cost_of, measured, work

if TYPE_CHECKING:
    from convnn.data import DatasetFacts

DRAWS = 2000
"""Uniform draws that stand for a space which is not finite, or too large to be looked at whole."""

EVALUATION = 1 / 3
"""What an image costs in evaluation, as a share of its cost in training: the forward pass of three."""

_METRICS_PER_EPOCH = 6
_BYTES = {"ledger": 350, "log": 220, "mlflow_metric": 160, "mlflow_param": 110}
_LARGE_GRID = 10_000
_LONG_EPOCHS, _MANY_LONG_TRIALS = 50, 20
_LOW_LR = 1e-7
_GOT = re.compile(r",? got |;")  # what follows differs from point to point


@dataclass(frozen=True)
class Rung:
    """Epochs after which the stopping rule looks, and about how many trials go on from there."""

    epoch: int
    survivors: int


@dataclass(frozen=True)
class Plan:
    """All that can be said of a sweep before it runs; times are `None` where no speed is known."""

    name: str
    points: int | None
    looked_at: int
    infeasible: dict[str, int]
    never: list[str]
    equivalent: int
    distinct: int
    trials: int
    ladder: list[Rung]
    trial_epochs: int
    images_per_epoch: int
    trial_costs: dict[str, TrialCost]
    slots: int
    gpu_hours: float | None
    cpu_hours: float | None
    wall_hours: float | None
    speed_from: str
    budget: dict[str, float]
    disk_gb: float
    mlflow_rows: int
    warnings: list[str]

    def summary(self) -> dict[str, Any]:
        """For programs: stable keys."""
        return asdict(self)


def plan(
    spec: SweepSpec,
    *,
    gpus: int = 1,
    cpus: int | None = None,
    throughput: float | None = None,
    measure: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Plan:
    """Work out what `spec` will do and cost.

    Args:
        spec: The sweep.
        gpus: GPUs that trials may share, where a trial takes any.
        cpus: CPU cores; this machine's if `None`.
        throughput: Images that the median trial trains on per second.
        measure: Train the smallest, the median and the largest trial for a few seconds here, to know their speed.
        say: Told what is going on.
    """
    survey = _survey(spec)
    trials, epochs = _trials(spec, survey), epochs_of(spec)
    ladder = ladder_of(spec, trials, epochs)
    trial_epochs = trial_epochs_of(ladder, trials, epochs)
    costs = _costs(survey.configs, spec, measure=measure, say=say)
    train, evaluated = _images(survey.configs[0], spec) if survey.configs else (0, 0)
    slots = min(_slots(spec, gpus, cpus or os.cpu_count() or 1), max(trials, 1))
    rate = throughput or _mean_rate(costs)
    hours = trial_epochs * (train + EVALUATION * evaluated) / rate / 3600 if rate else None
    gpu = spec.resources.gpus_per_trial
    needs = {
        "gpu_hours": hours * gpu if hours is not None and gpu else None,
        "cpu_hours": hours * spec.resources.cpus_per_trial if hours is not None else None,
        "wall_hours": hours / slots if hours is not None else None,
    }
    return Plan(
        name=spec.name,
        points=spec.space.size(),
        looked_at=survey.looked_at,
        infeasible=dict(survey.infeasible.most_common()),
        never=spec.space.dead_pairs(),
        equivalent=survey.looked_at - sum(survey.infeasible.values()) - len(survey.configs),
        distinct=len(survey.configs),
        trials=trials,
        ladder=ladder,
        trial_epochs=trial_epochs,
        images_per_epoch=train,
        trial_costs=costs,
        slots=slots,
        **needs,
        speed_from="--throughput" if throughput else "measured on this machine" if rate else "unknown",
        budget=spec.budget.model_dump(exclude_none=True),
        disk_gb=_disk(trials, trial_epochs) / 1e9 + _checkpoints_gb(spec, costs, slots, trials),
        mlflow_rows=trial_epochs * _METRICS_PER_EPOCH + trials * _params_per_trial(survey.configs),
        warnings=[
            *_warnings(spec, survey, trials, epochs, train),
            *_memory_warnings(spec, costs),
            *_budget_warnings(spec, trials, needs),
            *_time_limit_warnings(spec, epochs, hours / trial_epochs if hours else None),
        ],
    )


@dataclass(frozen=True)
class _Survey:
    looked_at: int
    whole: bool
    infeasible: Counter[str]
    configs: list[TrialConfig]


def _survey(spec: SweepSpec) -> _Survey:
    """Look at every point of a small finite space, else at uniform draws."""
    size = spec.space.size()
    whole = size is not None and size <= POINTS_COUNTED
    points: Iterable[dict[str, Any]] = spec.space.points()
    if not whole:
        rng = random.Random(0)
        points = (spec.space.draw(rng) for _ in range(DRAWS))
    infeasible: Counter[str] = Counter()
    found: dict[str, TrialConfig] = {}
    looked_at = 0
    for point in points:
        looked_at += 1
        config = spec.space.resolve(Decided(point))
        obstacle = next(iter(spec.obstacles(config)), None)
        if obstacle is not None:
            infeasible[f"{obstacle.path} {_GOT.split(obstacle.message)[0]}"] += 1
        else:
            found.setdefault(run_key(config), canonical(config))
    return _Survey(looked_at, whole, infeasible, list(found.values()))


def _trials(spec: SweepSpec, survey: _Survey) -> int:
    asked = getattr(spec.search, "trials", None)
    if survey.whole:
        return min(asked or len(survey.configs), len(survey.configs))
    if asked is not None:
        return int(asked)
    size, share_valid = spec.space.size() or 0, 1 - sum(survey.infeasible.values()) / max(1, survey.looked_at)
    return round(size * share_valid)


def epochs_of(spec: SweepSpec) -> int:
    """The longest training of the space."""
    return int(max(spec.space.values("training.epochs", Training().epochs)))


def ladder_of(spec: SweepSpec, trials: int, epochs: int) -> list[Rung]:
    """The rungs of ASHA; none where nothing stops trials early."""
    if not isinstance(spec.stopping, Asha):
        return []
    rungs: list[Rung] = []
    for number in itertools.count():
        epoch = spec.stopping.grace_epochs * spec.stopping.reduction_factor**number
        if epoch >= epochs:
            return rungs
        rungs.append(Rung(epoch, math.ceil(trials / spec.stopping.reduction_factor ** (number + 1))))
    raise AssertionError


def trial_epochs_of(ladder: list[Rung], trials: int, epochs: int) -> int:
    """Epochs of all trials together, where as many go on at each rung as it lets through."""
    total, running, done = 0, trials, 0
    for rung in ladder:
        total += running * (rung.epoch - done)
        running, done = rung.survivors, rung.epoch
    return total + running * (epochs - done)


def _images(config: TrialConfig, spec: SweepSpec) -> tuple[int, int]:
    """Images trained on, and evaluated, in an epoch."""
    facts: DatasetFacts = DATASETS[config.data.name]
    limit = config.data.limit or facts.train_images
    pool = min(limit, facts.train_images)
    if isinstance(spec.evaluation, Holdout):
        held = round(pool * spec.evaluation.fraction)
        return pool - held, held
    return pool, min(limit, facts.test_images)


def _slots(spec: SweepSpec, gpus: int, cpus: int) -> int:
    at_once = max(1, fitting(per_trial(spec.resources), [{"CPU": cpus, "GPU": gpus}]))
    return min(at_once, spec.resources.max_concurrent or at_once)


def _costs(
    configs: list[TrialConfig], spec: SweepSpec, *, measure: bool, say: Callable[[str], None]
) -> dict[str, TrialCost]:
    if not configs:
        return {}
    by_size = sorted(configs, key=work)
    chosen = {"smallest": by_size[0], "median": by_size[len(by_size) // 2], "largest": by_size[-1]}
    found: dict[str, TrialCost] = {}
    for name, config in chosen.items():
        twin = next((other for other in found if _same_work(chosen[other], config)), None)
        if twin is not None:
            found[name] = replace(found[twin], params=headline(config))
            continue
        rate = None
        if measure:
            say(f"measuring the {name} trial for {MEASURE_S:g} s ...")
            device = "cuda" if spec.resources.gpus_per_trial else "cpu"
            rate = measured(config, device, spec.resources.cpus_per_trial)
        found[name] = cost_of(config, rate)
    return found


def _same_work(one: TrialConfig, other: TrialConfig) -> bool:
    return one.model == other.model and one.data == other.data and one.training.batch_size == other.training.batch_size


def _mean_rate(costs: dict[str, TrialCost]) -> float | None:
    """Images per second over a sweep whose trials lie between the three: the median counts twice."""
    rates = [
        (costs[name].images_per_s, weight) for name, weight in (("smallest", 1), ("median", 2), ("largest", 1)) if costs
    ]
    if not rates or any(rate is None for rate, _ in rates):
        return None
    return 4 / sum(weight / rate for rate, weight in rates if rate)


def _params_per_trial(configs: list[TrialConfig]) -> int:
    from tune_jobs.tracking.mlflow.runs import params_of

    return len(params_of(configs[0])) if configs else 0


def _disk(trials: int, trial_epochs: int) -> int:
    per_epoch = _BYTES["ledger"] + _BYTES["log"] + _METRICS_PER_EPOCH * _BYTES["mlflow_metric"]
    return trial_epochs * per_epoch + trials * 40 * _BYTES["mlflow_param"]


def _checkpoints_gb(spec: SweepSpec, costs: dict[str, TrialCost], slots: int, trials: int) -> float:
    """Those of the trials that run, and of the best that have ended, as if each were the largest."""
    largest = max((cost.checkpoint_gb for cost in costs.values()), default=0.0)
    return largest * (KEPT * slots + min(spec.resources.keep_best, trials))


def _warnings(spec: SweepSpec, survey: _Survey, trials: int, epochs: int, train: int) -> Iterator[str]:
    """What is probably a mistake."""
    yield from _search_warnings(spec, survey, trials)
    if isinstance(spec.stopping, Asha) and epochs < 2 * spec.stopping.grace_epochs:
        yield f"stopping.grace_epochs {spec.stopping.grace_epochs} of {epochs} epochs leaves little to save."
    if not isinstance(spec.stopping, Asha) and epochs >= _LONG_EPOCHS and trials >= _MANY_LONG_TRIALS:
        yield f"all {trials} trials train for all {epochs} epochs; stopping: {{kind: asha, ...}} saves most of that."
    yield from _training_warnings(spec, train)


def _memory_warnings(spec: SweepSpec, costs: dict[str, TrialCost]) -> Iterator[str]:
    limit, needed = spec.space.memory_gb, max((cost.memory_gb for cost in costs.values()), default=0.0)
    if limit is not None and needed > limit:
        yield f"the largest of the three trials needs about {needed:.3g} GB and its share of the GPU is {limit:.3g} GB."


def _budget_warnings(spec: SweepSpec, trials: int, needs: Mapping[str, float | None]) -> Iterator[str]:
    for field, limit in spec.budget.model_dump(exclude_none=True).items():
        if field == "trials" and limit < trials:
            yield f"budget.trials {limit} is enough for {limit} of {trials:,} trials."
        elif (need := needs.get(field)) is not None and need > limit:
            enough = int(trials * limit / need)
            yield f"budget.{field} {limit:g} is enough for about {enough:,} of {trials:,} trials; all need {need:.3g}."


def _time_limit_warnings(spec: SweepSpec, epochs: int, hours_per_epoch: float | None) -> Iterator[str]:
    limit = spec.resources.max_trial_hours
    if limit is not None and hours_per_epoch is not None and epochs * hours_per_epoch > limit:
        hours = epochs * hours_per_epoch
        yield f"resources.max_trial_hours {limit:g} ends a trial of {epochs} epochs, which takes about {hours:.3g} h."


def _search_warnings(spec: SweepSpec, survey: _Survey, trials: int) -> Iterator[str]:
    asked, lost = getattr(spec.search, "trials", None), sum(survey.infeasible.values())
    if not survey.configs:
        yield f"none of {survey.looked_at} points looked at can run."
    if isinstance(spec.search, Grid) and trials > _LARGE_GRID:
        yield f"a grid of {trials:,} trials; sampler: tpe with trials: 100 or so finds good ones far sooner."
    if asked is not None and survey.whole and asked > trials:
        yield f"search.trials is {asked} and the space has {trials} different trials; the sweep ends after those."
    if lost > survey.looked_at / 2:
        yield f"{lost:,} of {survey.looked_at:,} points cannot run; narrow the space, or set when_too_few: all."


def _training_warnings(spec: SweepSpec, train: int) -> Iterator[str]:
    rates = spec.space.values("training.lr", Training().lr)
    if min(rates) < _LOW_LR:
        yield f"training.lr goes down to {min(rates):g}; below {_LOW_LR:g} nothing is learned."
    if max(rates) > 1:
        yield f"training.lr goes up to {max(rates):g}; above 1 trials diverge."
    batch = max(spec.space.values("training.batch_size", Training().batch_size))
    if train and batch > train:
        yield f"training.batch_size {batch} is more than the {train} images of an epoch: one step each."
    cores = os.cpu_count() or 1
    if spec.resources.cpus_per_trial > cores and not spec.resources.gpus_per_trial:
        yield f"resources.cpus_per_trial is {spec.resources.cpus_per_trial}, this machine has {cores} cores."
