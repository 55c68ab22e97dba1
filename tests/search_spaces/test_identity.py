"""Two files describe the same sweep if everything that affects its results agrees, in any spelling."""

import random
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from search_spaces import SpecError, SweepSpec, differences, parse_sweep
from search_spaces.reading.document import dumped
from search_spaces.reading.fields import Model, is_valid, literals_of, models_of
from search_spaces.settings import SweepFile
from search_spaces.trial import TrialConfig
from tests.search_spaces.reading.test_reader import replaced
from tests.search_spaces.strategies import fixed, spaces

TEXT = """
name: small
space:
  data: {name: digits, root: ~/data}
  model: {layer: {kind: hybrid, lambda: {choice: [0.25, 0.5]}, k: {choice: [4, 9]}}}
  training: {epochs: 9, lr: {log_uniform: [1e-4, 1e-2]}}
constraints: [k <= 2 * batch_size]
search: {sampler: random, trials: 3}
"""
GRID = TEXT.replace("{log_uniform: [1e-4, 1e-2]}", "1e-3").replace("{sampler: random, trials: 3}", "{}")


LR = "space.training.lr: {log_uniform: [0.0001, 0.01]}"


def changed(old: str, new: str, text: str = TEXT) -> list[str]:
    """Return the differences after replacing `old` by `new`."""
    assert text.count(old) == 1
    return differences(parse_sweep(text), parse_sweep(text.replace(old, new)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("epochs: 9", "epochs: 9, batch_size: 256, clip_norm: 1, seed: 0"),
        ("epochs: 9, lr: {log_uniform: [1e-4, 1e-2]}", "lr: {log_uniform: [0.0001, .01]}, epochs: 09"),
        ("{kind: hybrid, ", "{kind: hybrid, kernel_size: 3, candidates: {kind: all}, "),
        ("{kind: hybrid, ", "{candidates: {}, kind: 'hybrid', "),
        ("model: {layer", "model: {name: vgg11, dropout: 0.5, layer"),
        ("[0.25, 0.5]", "[2.5e-1, 5E-1]"),
        ("[k <= 2 * batch_size]", "[k<=(2.0*training.batch_size), k <= 2*batch_size]"),
        (
            "search: {sampler: random, trials: 3}",
            "search: {seed: 0, trials: 3, sampler: random}\nstopping: {kind: none}",
        ),
        ("search: ", "evaluation: {protocol: holdout, fraction: 0.1}\nobjective: {metric: val/accuracy}\nsearch: "),
        ("search: ", "objective: {goal: maximize, metric: null}\nsearch: "),
    ],
)
def test_the_spelling_of_a_file_does_not_matter(old: str, new: str) -> None:
    assert changed(old, new) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: small", "name: other"),
        (", root: ~/data", ", root: /elsewhere"),
        (", root: ~/data", ""),
        ("trials: 3", "trials: 30"),
        ("search: ", "budget: {cpu_hours: 3, wall_hours: 1, trials: 2}\nsearch: "),
        ("search: ", "stopping: {max_failed_fraction: 1}\nsearch: "),
        ("search: ", "stopping: {enough: {within: 0.3}}\nsearch: "),
        ("search: ", "tracking: {uri: x, experiment: y}\nsearch: "),
        ("search: ", "resources: {cpus_per_trial: 2, max_concurrent: 1, keep_best: 0, min_free_gb: 0}\nsearch: "),
    ],
)
def test_costs_and_places_of_a_sweep_may_change(old: str, new: str) -> None:
    assert changed(old, new) == []


def test_folders_of_images_may_change_in_every_branch() -> None:
    branches = "{any_of: [{root: a}, {root: b, limit: 9}]}"
    text = TEXT.replace("{name: digits, root: ~/data}", branches)
    assert changed("root: b", "root: c", text) == []
    assert changed("limit: 9", "limit: 8", text) == ["space.data[option#2].limit: 9 -> 8"]


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("epochs: 9", "epochs: 3", ["space.training.epochs: 9 -> 3"]),
        ("epochs: 9", "epochs: 9, clip_norm: null", ["space.training.clip_norm: (not set) -> null"]),
        ("[4, 9]", "[4]", ["space.model.layer.k: {choice: [4, 9]} -> {choice: [4]}"]),
        ("[4, 9]", "[9, 4]", ["space.model.layer.k: {choice: [4, 9]} -> {choice: [9, 4]}"]),
        ("{choice: [4, 9]}", "4", ["space.model.layer.k: {choice: [4, 9]} -> 4"]),
        ("lr: {log_uniform: [1e-4, 1e-2]}", "seed: 1", ["space.training.seed: (not set) -> 1", f"{LR} -> (not set)"]),
        ("log_uniform: [1e-4, 1e-2]", "uniform: [1e-4, 1]", [f"{LR} -> {{uniform: [0.0001, 1.0]}}"]),
        ("{log_uniform: [1e-4, 1e-2]}", "1e-2", [f"{LR} -> 0.01"]),
        ("[k <= 2 * batch_size]", "[k < 5]", ["constraints: [k <= 2 * training.batch_size] -> [k < 5]"]),
        ("constraints: [k <= 2 * batch_size]", "", ["constraints: [k <= 2 * training.batch_size] -> (not set)"]),
        ("trials: 3", "trials: 3, seed: 7", ["search.seed: 0 -> 7"]),
        ("random", "tpe", ["search.sampler: random -> tpe"]),
        ("search: ", "evaluation: {fraction: 0.2}\nsearch: ", ["evaluation.fraction: 0.1 -> 0.2"]),
        (
            "search: ",
            "objective: {metric: val/loss}\nsearch: ",
            ["objective.metric: val/accuracy -> val/loss", "objective.goal: maximize -> minimize"],
        ),
        (
            "search: ",
            "stopping: {kind: asha, reduction_factor: 2}\nsearch: ",
            [
                "stopping.kind: none -> asha",
                "stopping.grace_epochs: (not set) -> 1",
                "stopping.reduction_factor: (not set) -> 2",
            ],
        ),
    ],
)
def test_differences_are_reported_in_one_line_per_path(old: str, new: str, lines: list[str]) -> None:
    assert changed(old, new) == lines


def test_options_are_distinguished_by_their_labels() -> None:
    text = TEXT.replace(
        "{kind: hybrid, lambda: {choice: [0.25, 0.5]}, k: {choice: [4, 9]}}",
        "{any_of: [{kind: conv2d}, {kind: convnn, candidates: {any_of: [{kind: all}, {kind: random, r: 9}]}}]}",
    )
    assert changed("r: 9", "r: 16", text) == ["space.model.layer[convnn].candidates[random].r: 9 -> 16"]
    assert changed("{kind: conv2d}, ", "", text) == [
        "space.model.layer: {any_of: [conv2d, convnn]} -> {any_of: [convnn]}",
        "space.model.layer[conv2d].kind: conv2d -> (not set)",
    ]


def test_the_order_of_varying_fields_matters_to_a_grid() -> None:
    fields = "lambda: {choice: [0.25, 0.5]}, k: {choice: [4, 9]}"
    turned = "k: {choice: [4, 9]}, lambda: {choice: [0.25, 0.5]}"
    assert changed(fields, turned) == []
    (line,) = changed(fields, turned, GRID)
    lam, k = "space.model.layer.lambda", "space.model.layer.k"
    assert line == f"order of space: [{lam}, {k}] -> [{k}, {lam}]"
    assert changed("epochs: 9, lr: 1e-3", "lr: 1e-3, epochs: 9", GRID) == []


def literals(model: Model, key: str) -> tuple[str, ...]:
    return get_args(model.model_fields[key].annotation)


def nested(model: Model, seen: set[Model]) -> set[Model]:
    """Return the model and all models below it."""
    if model not in seen:
        seen.add(model)
        for info in model.model_fields.values():
            for below in models_of(info)[0]:
                nested(below, seen)
    return seen


def test_a_missing_mapping_equals_a_mapping_of_defaults() -> None:
    """Otherwise defaults could not be left out of the identity."""
    for model in nested(SweepFile, set()):
        for info in model.model_fields.values():
            if isinstance(info.default, BaseModel):
                assert info.default == type(info.default)()
                kinds = [kind for kind in models_of(info)[0] if not any_required(kind)]
                assert kinds == [type(info.default)]


def any_required(model: Model) -> bool:
    return any(info.is_required() for info in model.model_fields.values())


class Scribe:
    """Rewrites a tree with shuffled keys and explicit defaults."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def again(self, tree: Any, models: tuple[Model, ...] = (TrialConfig,), *, is_option: bool = False) -> Any:
        if "any_of" in tree:
            return {"any_of": [self.again(option, models, is_option=True) for option in tree["any_of"]]}
        model = next(model for model in models if self._is(tree, model, len(models) > 1))
        found = {}
        for attribute, info in model.model_fields.items():
            name, below = info.alias or attribute, models_of(info)[0]
            if name in tree:
                found[name] = self.again(tree[name], below) if below else tree[name]
            elif is_option and name in ("kind", "name"):  # would change the label
                continue
            elif self._rng.random() < 0.5:
                default = info.default
                if below and default is None:  # an unused alternative: layer or layers
                    continue
                found[name] = default.model_dump(by_alias=True) if isinstance(default, BaseModel) else default
        return {name: found[name] for name in self._rng.sample(sorted(found), len(found))}

    @staticmethod
    def _is(tree: Any, model: Model, is_one_of_several: bool) -> bool:
        if not is_one_of_several:
            return True
        key = "kind" if "kind" in model.model_fields else "name"
        default = model.model_fields[key].default
        return tree.get(key, default) in literals(model, key)


def in_digits(text: str) -> str:
    """Return the text with every real number written with all digits."""
    return re.sub(r"(?<![\w.])[0-9]+\.[0-9]+(?:e[-+][0-9]+)?", lambda number: f"{float(number[0]):.17e}", text)


def read(space: Any, search: Any) -> SweepSpec | None:
    try:
        return parse_sweep(dumped({"name": "x", "space": space, "search": search}))
    except SpecError:
        return None


SEARCHES = st.sampled_from([{"sampler": "tpe", "trials": 3}, {"sampler": "random", "trials": 3, "seed": 5}])


@settings(fixed, max_examples=60)
@given(spaces(), SEARCHES, st.randoms(use_true_random=False))
def test_explicit_defaults_key_order_and_number_spelling_keep_the_sweep_the_same(
    space: Any, search: Any, rng: random.Random
) -> None:
    spec = read(space, search)
    if spec is not None:
        text = in_digits(dumped({"space": Scribe(rng).again(space), "search": search, "name": "x"}))
        other = parse_sweep(text)
        assert differences(spec, other) == []
        assert other.identity() == spec.identity()


CANDIDATES: list[dict[str, Any]] = [{"kind": "all"}, {"kind": "random", "r": 9}, {"kind": "strided", "stride": 1}]
LATTICE, EVEN = {"kind": "lattice", "side": 2}, {"kind": "even", "r": 9}


def unhindered(candidates: dict[str, Any]) -> dict[str, Any]:
    """Return a layer in which every field may change alone, because ConvNN has no channels."""
    return {"kind": "hybrid", "lambda": 0, "k": 2, "candidates": candidates}


MODELS = [
    *({"name": "vgg11", "layer": layer} for layer in [{"kind": "conv2d"}, *map(unhindered, [*CANDIDATES, LATTICE])]),
    {"name": "vgg11", "layers": {"conv1-conv3": unhindered({"kind": "all"}), "conv4-conv8": {"kind": "conv2d"}}},
    *({"name": "vit_tiny", "attention": {"kind": kind}} for kind in ("attention", "kvt", "local", "sparse")),
    *({"name": "vit_tiny", "attention": attention} for attention in map(unhindered, [*CANDIDATES, EVEN])),
]


def leaves(config: BaseModel, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo, Any]]:
    for attribute, info in type(config).model_fields.items():
        value, here = getattr(config, attribute), (*path, info.alias or attribute)
        if isinstance(value, BaseModel):
            yield from leaves(value, here)
        elif value is None and models_of(info)[0]:
            continue  # an unused alternative (layer or layers), or a range that the file does not name
        else:
            yield here, info, value


def others(info: FieldInfo, value: Any) -> Iterator[Any]:
    """Yield other valid values of the field."""
    words: tuple[Any, ...] = tuple(literals_of(info))
    if isinstance(value, bool):
        words = (not value,)
    numbers = () if words else (2, 64, 2.5) if value is None else (value * 2, value + 2, value + 0.25, value / 2, 1)
    return (other for other in words or numbers if other != value and is_valid(info, other))


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_another_value_of_any_field_is_another_sweep_and_is_reported(model: dict[str, Any]) -> None:
    config = TrialConfig.model_validate({"model": model})
    tree = config.model_dump(by_alias=True)
    before = read(tree, {})
    assert before is not None
    for path, info, value in leaves(config):
        if path[-1] not in ("kind", "root") and path != ("model", "name"):
            now = next(filter(None, (read(replaced(tree, path, other), {}) for other in others(info, value))))
            (line,) = differences(before, now)
            assert line.startswith(f"space.{'.'.join(path)}: ")
