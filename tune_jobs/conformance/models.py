"""What models, layers and attentions keep to: keys, limits, sizes, numbers."""

import itertools
import tempfile
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from search_spaces import Decided, TrialConfig, canonical, config_key, infeasibilities, parse_sweep
from search_spaces.models import ModelConfig, VGGLayer
from search_spaces.reading.document import dumped
from tune_jobs.conformance.kinds import Subject, general, in_file
from tune_jobs.conformance.outcome import Broken, Property, require, said
from tune_jobs.conformance.settings import trees, varied
from tune_jobs.worker.build import build_model, build_recipe

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")
CLASSES, OTHER_CLASSES, IMAGES = 10, 7, 3
FEW, SOME = 3, 8
"""Settings that are trained, and that are measured."""

PAIRS = 12
"""Pairs of settings with equal keys that are compared."""

VGG: dict[str, Any] = {"name": "vgg11", "width": 0.0625, "classifier_width": 8}
VIT: dict[str, Any] = {"name": "vit_tiny", "depth": 1, "dim": 48, "heads": 2, "mlp_width": 96, "image_size": 32}
VIT |= {"patch_size": 8}


@dataclass(frozen=True)
class Models:
    """The trials with which one kind is tried."""

    subject: Subject

    @cached_property
    def trials(self) -> list[TrialConfig]:
        """With each of the settings, small."""
        found = varied(self.subject.found, self.subject.key)
        return [TrialConfig.model_validate({"model": self._model(each)}) for each in found]

    @cached_property
    def feasible(self) -> list[TrialConfig]:
        """Those that can run."""
        found = [trial for trial in self.trials if next(infeasibilities(trial), None) is None]
        require(found, "none of the settings that were tried can run; give some that can in `examples`")
        return found

    @cached_property
    def infeasible(self) -> list[TrialConfig]:
        """The others."""
        return [trial for trial in self.trials if next(infeasibilities(trial), None) is not None]

    def tree(self, settings: dict[str, Any]) -> dict[str, Any]:
        """A model with these settings, as a file says it."""
        kind = self.subject.found
        if issubclass(kind, ModelConfig):
            return settings
        return {**VGG, "layer": settings} if issubclass(kind, VGGLayer) else {**VIT, "attention": settings}

    def _model(self, settings: Any) -> dict[str, Any]:  # noqa: ANN401 - of the kind
        settings = settings.smaller() if isinstance(settings, ModelConfig) else settings
        return self.tree(settings.model_dump(by_alias=True))


def properties(subject: Subject) -> list[Property]:
    """Those of a model, a layer or an attention."""
    models = Models(subject)
    place = {ModelConfig: (), VGGLayer: ("layer",)}
    inner = next((names for base, names in place.items() if issubclass(subject.found, base)), ("attention",))
    try:
        tree = models.tree(trees(subject.found, subject.key)[0])
    except Broken:
        return general(subject)  # of which one says what is wrong
    file = {"name": "x", "space": {"model": tree}}
    return [
        *general(subject),
        in_file(file, ("space", "model", *inner)),
        ("its canonical form is stable", partial(_canonical, models, file)),
        ("equal keys mean equal models", partial(_equal_keys, models)),
        ("what is infeasible cannot be built, all else can", partial(_limits, models)),
        ("forward and backward", partial(_forward_backward, models)),
        ("its size is the built model's", partial(_size, models)),
        ("the same seed gives the same numbers", partial(_deterministic, models)),
        ("a saved model loads again", partial(_saved, models)),
    ]


def _canonical(models: Models, file: dict[str, Any]) -> str:
    for trial in models.feasible:
        form = canonical(trial)
        require(canonical(form) == form, f"the canonical form of {shown(trial)} has another canonical form")
        reason = next(infeasibilities(form), None)
        require(reason is None, f"{shown(trial)} can run and its canonical form {shown(form)} cannot: {reason}")
        require(config_key(form) == config_key(trial), f"{shown(trial)} and its canonical form have different keys")
        again = TrialConfig.model_validate_json(form.model_dump_json(by_alias=True))
        require(again == form, f"{shown(form)} is another one once written as JSON")
        turned = TrialConfig.model_validate(_reversed(trial.model_dump(by_alias=True)))
        require(
            config_key(turned) == config_key(trial), f"{shown(trial)} has another key with its fields in another order"
        )
    spec = parse_sweep(dumped(file))
    key = config_key(spec.space.resolve(Decided({})))
    known = config_key(TrialConfig.model_validate({"model": file["space"]["model"]}))
    require(key == known, "a file and the same configuration have different keys")
    return f"{len(models.feasible)} settings, {len({config_key(trial) for trial in models.feasible})} keys"


def _equal_keys(models: Models) -> str:
    by_key: dict[str, dict[TrialConfig, None]] = {}
    for trial in models.feasible:
        by_key.setdefault(config_key(trial), {}).update({trial: None, canonical(trial): None})
    pairs = [(first, other) for first, *others in by_key.values() for other in others]
    for first, other in _some(pairs, PAIRS):
        _require_alike(first, other)
    return f"{min(len(pairs), PAIRS)} pairs of settings" if pairs else "no two settings have one key"


def _require_alike(first: TrialConfig, other: TrialConfig) -> None:
    """Two configurations of one key compute the same: as built, and with the weights of one in both."""
    names = f"{shown(first)} and {shown(other)} have one key, and"
    one, two = (_built(trial) for trial in (first, other))
    shapes = [sorted(tuple(weight.shape) for weight in model.state_dict().values()) for model in (one, two)]
    require(shapes[0] == shapes[1], f"{names} their models have weights of other shapes")
    if [*one.state_dict()] == [*two.state_dict()]:
        two.load_state_dict(one.state_dict())
        expected, found = _outputs(one), _outputs(two)
        close = (expected - found).abs().max().item() <= 1e-4 * max(1.0, expected.abs().max().item())
        require(
            close, f"{names} with the same weights their outputs differ by {(expected - found).abs().max().item():.2g}"
        )


def _limits(models: Models) -> str:
    for trial in models.feasible:
        try:
            _outputs(_built(trial))
        except Exception as error:
            raise Broken(f"{shown(trial)} is said to run, and does not: {said(error)}") from error
    for trial in models.infeasible:
        reasons = list(infeasibilities(trial))
        for reason in reasons:
            require(
                reason.path.startswith("model.") and reason.rule, f"{reason} must have a path from model. on and a rule"
            )
        try:
            _outputs(_built(trial))
        except Exception:  # noqa: BLE001, S112 - as it should be
            continue
        raise Broken(f"{shown(trial)} is said not to run ({reasons[0].path} {reasons[0].message}), and does")
    return f"{len(models.feasible)} settings that run, {len(models.infeasible)} that do not"


def _forward_backward(models: Models) -> str:
    import torch

    for trial, classes in itertools.product(_some(models.feasible, FEW), (CLASSES, OTHER_CLASSES)):
        torch.manual_seed(0)
        model = build_model(trial.model, classes).train()
        logits = model(_images())
        wanted = (IMAGES, classes)
        require(logits.shape == wanted, f"{shown(trial)} gives {tuple(logits.shape)} for {IMAGES} images, not {wanted}")
        require(logits.dtype == torch.float32, f"{shown(trial)} gives {logits.dtype}, not float32")
        require(bool(logits.isfinite().all()), f"{shown(trial)} gives numbers that are not finite")
        torch.nn.functional.cross_entropy(logits, torch.arange(IMAGES) % classes).backward()
        without = [name for name, weight in model.named_parameters() if weight.grad is None]
        require(not without, f"{shown(trial)} has weights without a gradient: {', '.join(without[:FEW])}")
    return f"{CLASSES} and {OTHER_CLASSES} classes"


def _size(models: Models) -> str:
    from convnn.cost import measure_cost

    exact = 0
    for trial in _some(models.feasible, SOME):
        model = trial.model
        cost = measure_cost(partial(build_model, model, CLASSES), batch_size=SOME)
        parameters, flops, kept = model.parameters(CLASSES), model.flops(CLASSES), model.kept(CLASSES)
        measured = cost.activation_bytes / (4 * SOME)
        exact += flops is not None
        least, word = model.activations(), "at least" if flops is None else ""
        _require_size(trial, ("at least", least), measured, "activations", holds=least <= measured)
        holds = parameters <= cost.parameters if flops is None else parameters == cost.parameters
        _require_size(trial, (word, parameters), cost.parameters, "parameters", holds=holds)
        if flops is not None:
            _require_size(trial, ("", flops), cost.flops, "FLOPs", holds=flops == cost.flops)
        if kept is not None:
            total = sum(part.numbers for part in kept)
            near = 0.5 * measured <= total <= 2 * measured
            _require_size(trial, ("about", total), measured, "numbers that a step keeps of an image", holds=near)
    return f"{exact} in closed form" if exact else "no more parameters than it has; `convnn plan` builds it"


def _require_size(trial: TrialConfig, says: tuple[str, float], has: float, what: str, *, holds: bool) -> None:
    word, number = says
    wrong = f"{shown(trial)} says {word} {number:,.0f} {what}, and the model that is built has {has:,.0f}"
    require(holds, wrong.replace("  ", " "))


def _deterministic(models: Models) -> str:
    for trial in _some(models.feasible, FEW):
        first, second = (_trained(trial) for _ in range(2))
        require(
            first == second,
            f"{shown(trial)} trained twice with one seed has other weights; draw from torch's generator",
        )
    return "two steps of training, twice"


def _trained(trial: TrialConfig) -> str:
    """The digest of the weights after two steps as trials train."""
    import numpy as np

    from convnn.data import DATASETS, Images
    from convnn.data.batches import Batches
    from convnn.saved import digest_of
    from convnn.training import TrainState, fit

    training = trial.training.model_copy(update={"epochs": 1, "lr": 1e-3, "batch_size": SOME})
    rng, count = np.random.default_rng(0), 2 * SOME
    images = Images(rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8), rng.integers(0, CLASSES, count))
    recipe = build_recipe(training)
    state = TrainState.create(partial(build_model, trial.model, CLASSES), recipe)
    for _ in fit(state, recipe, Batches(images, np.arange(count), DATASETS["digits"], "cpu")):
        pass
    return digest_of(state.model.state_dict())


def _saved(models: Models) -> str:
    import torch

    from convnn.saved import load_classifier, meaning_of, save_classifier

    for trial in _some(models.feasible, FEW):
        model = _built(trial)
        with tempfile.TemporaryDirectory(prefix="convnn-check-") as place:
            plain = trial.model.factory(CLASSES).as_plain()
            save_classifier(Path(place), plain, model.state_dict(), meaning_of("digits", 0))
            again = load_classifier(place).model
        require(
            torch.equal(_outputs(model), _outputs(again)), f"{shown(trial)} gives other numbers once saved and loaded"
        )
    return ""


def _built(trial: TrialConfig) -> "nn.Module":
    import torch

    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return build_model(trial.model, CLASSES)


def _outputs(model: "nn.Module") -> "Tensor":
    """Of a few images, in evaluation; what is drawn at random is the same each time."""
    import torch

    with torch.random.fork_rng([]), torch.inference_mode():
        torch.manual_seed(1)
        found: Tensor = model.eval()(_images())
    return found


def _images() -> "Tensor":
    import torch

    return torch.randn(IMAGES, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def _some(listed: list[T], count: int) -> list[T]:
    """The first, and others evenly from the rest."""
    step = max(1, len(listed) / count)
    return [listed[int(number * step)] for number in range(min(count, len(listed)))]


def _reversed(tree: Any) -> Any:  # noqa: ANN401 - plain data
    return {name: _reversed(tree[name]) for name in reversed(tree)} if isinstance(tree, dict) else tree


def shown(trial: TrialConfig) -> str:
    """The part of a trial that is tried, in a line."""
    model = trial.model
    part = model.mixing_layer if model.name in (VGG["name"], VIT["name"]) else model
    return f"{{{', '.join(f'{name}: {value}' for name, value in part.model_dump(by_alias=True).items())}}}"
