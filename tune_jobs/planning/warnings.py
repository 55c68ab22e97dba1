"""Warnings about probable mistakes in a sweep, one sentence each."""

from collections.abc import Iterable, Iterator, Mapping

from convnn.data import DATASETS
from convnn.data.sources import not_here
from search_spaces import SweepSpec, TrialConfig
from search_spaces.domains import IntRange
from search_spaces.plurals import plural
from search_spaces.settings import Asha, Grid, Hyperband, Median, NoStopping
from search_spaces.trial import Training
from tune_jobs.planning.ladder import earliest_end_of
from tune_jobs.planning.survey import Survey
from tune_jobs.search.samplers.learning import learns
from tune_jobs.system.cpus import usable_cpus
from tune_jobs.system.gpus import has_gpu
from tune_jobs.system.memory import lacking, usable_memory_gb

_LARGE_GRID = 10_000
_LONG_EPOCHS, _MANY_LONG_TRIALS = 50, 20
_LOW_LR = 1e-7
_MOST_OF_THE_MODEL = 0.99


def likely_mistakes(spec: SweepSpec, survey: Survey, trials: int, epochs: int, train: int) -> Iterator[str]:
    """Yield warnings about the search, the stopping rule and the training."""
    yield from _search_warnings(spec, survey, trials)
    if isinstance(spec.stopping, Asha | Hyperband | Median) and epochs < 2 * spec.stopping.grace_epochs:
        yield f"stopping.grace_epochs {spec.stopping.grace_epochs} of {plural(epochs, 'epoch')} leaves little to save."
    if isinstance(spec.stopping, NoStopping) and epochs >= _LONG_EPOCHS and trials >= _MANY_LONG_TRIALS:
        yield (
            f"all {trials:,} trials train for all {epochs} epochs; stopping: {{kind: auto}} stops trials that have "
            f"little chance, judging from the sweep's own complete trials."
        )
    if spec.stopping.enough is not None and earliest_end_of(spec, trials) is None:
        way = f"lower its confidence ({spec.stopping.enough.confidence:g}){', search at random' * learns(spec)}"
        yield f"stopping.enough cannot end {plural(trials, 'trial')} before the last one; {way}, or plan more trials."
    yield from _training_warnings(spec, train)
    yield from _missed_ends(spec)


def memory_warnings(spec: SweepSpec, needed_gb: float, at_once: int, *, here: bool) -> Iterator[str]:
    """Warn about trials that need more memory than their share of the GPU, or than this machine has if run `here`."""
    limit = spec.space.memory_gb
    if limit is not None and needed_gb > limit:
        most = f"the trial that needs the most memory needs about {needed_gb:.3g} GB"
        yield f"{most}, and its share of the GPU is {limit:.3g} GB."
    if here and not spec.resources.gpus_per_trial and (said := lacking(needed_gb, at_once, usable_memory_gb())):
        yield f"{said}; lower training.batch_size, or resources.max_concurrent."


def cpu_warnings(spec: SweepSpec, given: int | None) -> Iterator[str]:
    """Warn about trials that ask for more CPUs than `given`, or than this machine has if that is `None`."""
    asked, usable = spec.resources.cpus_per_trial, usable_cpus()
    if given is not None and asked > given:
        yield f"resources.cpus_per_trial is {asked}, but the plan is for {plural(given, 'CPU')}."
    elif given is None and asked > usable.count and not spec.resources.gpus_per_trial:
        yield (
            f"resources.cpus_per_trial is {asked}, but the CPUs that can be used here are {usable}; lower it, or run "
            f"the sweep on a larger machine."
        )


def machine_warnings(spec: SweepSpec) -> Iterator[str]:
    """Warn about resources and images that this machine lacks."""
    if spec.resources.gpus_per_trial and not has_gpu():
        asked = spec.resources.gpus_per_trial
        yield (
            f"resources.gpus_per_trial is {asked:g}, and this machine has no GPU; run the sweep on a machine with one, "
            f"or set resources.gpus_per_trial: 0."
        )
    for data in spec.space.data_sets():
        if said := not_here(data.name, data.root):
            yield f"{said}."


def classifier_warnings(configs: Iterable[TrialConfig]) -> Iterator[str]:
    """Warn about a classifier that holds almost all parameters."""
    for config in configs:
        classes = DATASETS[config.data.name].classes
        share = config.model.classifier_parameters(classes) / max(1, config.model.parameters(classes))
        if share >= _MOST_OF_THE_MODEL:
            where = "; lower model.classifier_width" if hasattr(config.model, "classifier_width") else ""
            yield f"the classifier holds {share:.1%} of the parameters of the largest trial{where}."


def budget_warnings(spec: SweepSpec, trials: int, needs: Mapping[str, float | None]) -> Iterator[str]:
    """Warn about a budget that is too small for the sweep."""
    for field, limit in spec.budget.model_dump(exclude_none=True).items():
        if field == "trials" and limit < trials:
            yield f"budget.trials {limit} is enough for {limit} of {plural(trials, 'trial')}."
        elif (need := needs.get(field)) is not None and need > limit:
            enough = f"about {int(trials * limit / need):,} of {plural(trials, 'trial')}"
            yield f"budget.{field} {limit:g} is enough for {enough}; all need {need:.3g}."


def time_limit_warnings(spec: SweepSpec, epochs: int, hours_per_epoch: float | None) -> Iterator[str]:
    """Warn about a limit in hours that ends a trial before its last epoch."""
    limit = spec.resources.max_trial_hours
    if limit is not None and hours_per_epoch is not None and epochs * hours_per_epoch > limit:
        long = f"{plural(epochs, 'epoch')}, which takes about {epochs * hours_per_epoch:.3g} h"
        yield f"resources.max_trial_hours {limit:g} ends a trial of {long}."


def _search_warnings(spec: SweepSpec, survey: Survey, trials: int) -> Iterator[str]:
    asked, lost = getattr(spec.search, "trials", None), sum(survey.infeasible.values())
    if not survey.configs:
        yield f"none of {plural(survey.looked_at, 'configuration')} looked at can run."
    if isinstance(spec.search, Grid) and trials > _LARGE_GRID:
        yield f"a grid of {trials:,} trials; sampler: tpe with trials: 100, for example, finds good ones far sooner."
    if asked is not None and survey.whole and asked > trials:
        yield f"search.trials is {asked} and the space has {plural(trials, 'different trial')}; the sweep ends there."
    if lost > survey.looked_at / 2:
        infeasible = f"{lost:,} of {plural(survey.looked_at, 'configuration')} cannot run"
        yield f"{infeasible}; narrow the space, or set when_too_few: all."


def _missed_ends(spec: SweepSpec) -> Iterator[str]:
    for leaf in spec.space.domains():
        if isinstance(leaf.domain, IntRange) and leaf.domain.missed is not None:
            steps = f"steps of {leaf.domain.step} from {leaf.domain.low} end at {leaf.domain.high}"
            yield f"{leaf.path.removeprefix('space.')}: {steps}; {leaf.domain.missed} is not reached."


def _training_warnings(spec: SweepSpec, train: int) -> Iterator[str]:
    rates = spec.space.values("training.lr", Training().lr)
    if min(rates) < _LOW_LR:
        yield f"training.lr goes down to {min(rates):g}; below {_LOW_LR:g} nothing is learned."
    if max(rates) > 1:
        yield f"training.lr goes up to {max(rates):g}; above 1 trials diverge."
    batch = max(spec.space.values("training.batch_size", Training().batch_size))
    if train and batch > train:
        images = plural(train, "image")
        yield f"training.batch_size {batch} is more than the {images} of an epoch, so each epoch is one step."
