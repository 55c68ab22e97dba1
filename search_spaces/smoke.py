"""A small version of a sweep for a quick test: its branches and kinds on few images, narrow models, two epochs."""

from dataclasses import dataclass
from typing import Any

from convnn.data.facts import DATASETS
from search_spaces.base import by_path
from search_spaces.canonical import form_and_key
from search_spaces.domains import Scalar
from search_spaces.feasibility import infeasibilities
from search_spaces.reading.document import Place, Problem, SpecError, dumped
from search_spaces.reading.load import parse_sweep
from search_spaces.sweep import SweepSpec
from search_spaces.trial import TrialConfig

WHOLE = 24
"""A finite space of at most this many points is run completely."""

MOST, LEAST = 12, 4
"""Limits on the number of trials for larger spaces; within them, enough trials to cover each kind."""

DRAWS = 400

IMAGES, OF_A_CLASS = 256, 10
"""Images of each split, and the least number per class."""

BATCH, EPOCHS = 32, 2

LONGEST_NAME = 90

Kind = tuple[str, Scalar]


@dataclass(frozen=True)
class Smoke:
    """A small sweep, and the kinds of the full sweep that it does not cover, such as `model.layer.kind conv2d`."""

    spec: SweepSpec
    left_out: list[str]


def smoke(spec: SweepSpec, *, gpu: bool) -> Smoke:
    """Return a small version of the sweep, under another name, as a grid of single configurations.

    A finite space of at most WHOLE points is run completely. For larger spaces, configurations are drawn until they
    cover every branch, word and switch that was drawn, MOST at most.

    Args:
        spec: The sweep to try.
        gpu: Whether trials may use the GPUs that the sweep requests; otherwise they train on the CPU.

    Raises:
        SpecError: If no drawn configuration can run.
    """
    size = spec.space.size()
    whole = size is not None and size <= WHOLE
    chosen: dict[str, TrialConfig] = {}
    more: dict[str, TrialConfig] = {}
    shown: set[Kind] = set()
    seen: dict[Kind, None] = {}
    on_gpu = gpu and spec.resources.gpus_per_trial > 0
    for point, config in spec.space.sample(None if whole else DRAWS):
        if next(spec.infeasibilities(config), None) is not None:
            continue
        small = _smaller(config, gpu=on_gpu)
        seen |= dict.fromkeys(sorted(_kinds(config, point), key=str))
        if next(infeasibilities(small), None) is not None:
            continue
        form, key = form_and_key(small)
        kinds = _kinds(small, point)  # of the small trial, which is the one that runs
        if key not in chosen and (whole or (kinds - shown and len(chosen) < MOST)):
            chosen[key] = form
        else:
            more.setdefault(key, form)
        if key in chosen:
            shown |= kinds
    for key, config in more.items():
        if len(chosen) < LEAST:
            chosen.setdefault(key, config)
    if not chosen:
        raise SpecError([Problem(Place(spec.name, 1, 1), "space", "--smoke found no configuration that can run.")])
    left_out = [f"{path.removeprefix('space.')} {value}" for path, value in seen if (path, value) not in shown]
    return Smoke(_sweep(spec, list(chosen.values()), gpu=on_gpu), left_out)


def _kinds(config: TrialConfig, point: dict[str, Scalar]) -> set[Kind]:
    """Return the kinds that a configuration covers: its branches, words and switches."""
    leaves = by_path(config.model_dump(mode="json", by_alias=True))
    words = {(path, value) for path, value in leaves if isinstance(value, str | bool) and path != "data.root"}
    return words | {(path, value) for path, value in point.items() if isinstance(value, str) and "#" in value}


def _smaller(config: TrialConfig, *, gpu: bool) -> TrialConfig:
    """Return the configuration with few images and epochs, and a narrow model."""
    data, training = config.data, config.training
    images = max(IMAGES, OF_A_CLASS * DATASETS[data.name].classes)
    few = {"limit": images if data.limit is None else min(data.limit, images)}
    short: dict[str, Any] = {"epochs": min(training.epochs, EPOCHS), "batch_size": min(training.batch_size, BATCH)}
    short |= {"compile": False} | ({} if gpu else {"precision": "fp32"})
    return config.model_copy(
        update={
            "data": data.model_copy(update=few),
            "training": training.model_copy(update=short),
            "model": config.model.smaller(),
        }
    )


def _sweep(spec: SweepSpec, configs: list[TrialConfig], *, gpu: bool) -> SweepSpec:
    trees = [config.model_dump(mode="json", by_alias=True) for config in configs]
    content: dict[str, Any] = {
        "name": f"{spec.name[:LONGEST_NAME]}-smoke",
        "space": trees[0] if len(trees) == 1 else {"any_of": trees},
        "evaluation": spec.evaluation.model_dump(mode="json"),
        "objective": {"metric": spec.metric, "goal": spec.goal},
        "search": {"sampler": "grid"},
        "resources": {"gpus_per_trial": spec.resources.gpus_per_trial if gpu else 0, "cpus_per_trial": 1},
    }
    return parse_sweep(dumped(content), f"{spec.name} --smoke")
