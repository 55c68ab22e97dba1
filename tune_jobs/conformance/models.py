"""Properties of models, layers and attentions: keys, feasibility, sizes, computed values."""

import itertools
import tempfile
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces import Decided, TrialConfig, canonical, config_key, infeasibilities, parse_sweep
from search_spaces.models import ModelConfig, VGGLayer
from search_spaces.reading.document import dumped
from tune_jobs.conformance.keys import CLASSES, Keyed, apart, each_field, equal_keys
from tune_jobs.conformance.kinds import Subject, general, in_file
from tune_jobs.conformance.outcome import Broken, Property, require, said
from tune_jobs.conformance.settings import all_varied, read, some, trees, varied
from tune_jobs.worker.build import build_model, build_recipe

if TYPE_CHECKING:
    from torch import Tensor, nn

OTHER_CLASSES, IMAGES = 7, 3
FEW, SOME = 3, 8
"""Number of settings that are trained, and that are measured."""

PAIRS = 12
"""Number of pairs of settings with equal keys that are compared."""

VGG: dict[str, Any] = {"name": "vgg11", "width": 0.0625, "classifier_width": 8}
VIT: dict[str, Any] = {"name": "vit_tiny", "depth": 1, "dim": 48, "heads": 2, "mlp_width": 96, "image_size": 32}
VIT |= {"patch_size": 8}


@dataclass(frozen=True)
class Models:
    """Small trials for the checks of one kind."""

    subject: Subject

    @cached_property
    def trials(self) -> list[TrialConfig]:
        """One small trial for each of the settings."""
        found = varied(self.subject.found, self.subject.key)
        small = (each.smaller() if isinstance(each, ModelConfig) else each for each in found)
        return [TrialConfig.model_validate({"model": self.tree(each.model_dump(by_alias=True))}) for each in small]

    @cached_property
    def feasible(self) -> list[TrialConfig]:
        """The trials that can run."""
        found = [trial for trial in self.trials if next(infeasibilities(trial), None) is None]
        require(found, "none of the tested settings can run; add feasible settings to `examples`")
        return found

    @cached_property
    def infeasible(self) -> list[TrialConfig]:
        """The trials that cannot run."""
        return [trial for trial in self.trials if next(infeasibilities(trial), None) is not None]

    @cached_property
    def keyed(self) -> list[Keyed]:
        """All settings that can run, in models of their full size."""
        return self._keyed(all_varied(self.subject.found, self.subject.key))

    @cached_property
    def unchanged(self) -> list[Keyed]:
        """The settings of `keyed` without a changed field."""
        kind, key = self.subject.found, self.subject.key
        return self._keyed([read(kind, tree) for tree in trees(kind, key)])

    def _keyed(self, listed: list[Any]) -> list[Keyed]:
        full = ({"model": self.tree(each.model_dump(by_alias=True), small=False)} for each in listed)
        trials = (TrialConfig.model_validate(each) for each in full)
        return [Keyed.of(trial) for trial in trials if next(infeasibilities(trial), None) is None]

    def tree(self, settings: dict[str, Any], *, small: bool = True) -> dict[str, Any]:
        """Return a model with these settings as in a file: those of a layer in a small model, or in the default one."""
        kind = self.subject.found
        if issubclass(kind, ModelConfig):
            return settings
        place, around = ("layer", VGG) if issubclass(kind, VGGLayer) else ("attention", VIT)
        return {**(around if small else {"name": around["name"]}), place: settings}


def properties(subject: Subject) -> list[Property]:
    """Return the properties of a model, layer or attention."""
    models = Models(subject)
    place = {ModelConfig: (), VGGLayer: ("layer",)}
    inner = next((names for base, names in place.items() if issubclass(subject.found, base)), ("attention",))
    try:
        tree = models.tree(trees(subject.found, subject.key)[0])
    except Broken:
        return general(subject)  # one of them reports the error
    file = {"name": "x", "space": {"model": tree}}
    return [
        *general(subject),
        in_file(file, ("space", "model", *inner)),
        ("its canonical form is stable", partial(_canonical, models, file)),
        ("equal keys mean equal models", partial(_equal_keys, models)),
        ("each field of its key changes the model", partial(_each_field, models)),
        ("exactly the feasible settings can be built", partial(_limits, models)),
        ("forward and backward", partial(_forward_backward, models)),
        ("its declared size matches the built model", partial(_size, models)),
        ("the same seed gives the same weights", partial(_deterministic, models)),
        ("a saved model loads again", partial(_saved, models)),
    ]


def _canonical(models: Models, file: dict[str, Any]) -> str:
    for trial in models.feasible:
        form = canonical(trial)
        require(canonical(form) == form, f"the canonical form of {shown(trial)} is not canonical itself")
        reason = next(infeasibilities(form), None)
        require(reason is None, f"{shown(trial)} can run, but its canonical form {shown(form)} cannot: {reason}")
        require(config_key(form) == config_key(trial), f"{shown(trial)} and its canonical form have different keys")
        again = TrialConfig.model_validate_json(form.model_dump_json(by_alias=True))
        require(again == form, f"{shown(form)} changes when written to JSON and read back")
        turned = TrialConfig.model_validate(_reversed(trial.model_dump(by_alias=True)))
        require(
            config_key(turned) == config_key(trial), f"the key of {shown(trial)} depends on the order of its fields"
        )
    spec = parse_sweep(dumped(file))
    key = config_key(spec.space.resolve(Decided({})))
    known = config_key(TrialConfig.model_validate({"model": file["space"]["model"]}))
    require(key == known, "a file and the same configuration have different keys")
    return f"{len(models.feasible)} settings, {len({config_key(trial) for trial in models.feasible})} keys"


def _each_field(models: Models) -> str:
    return each_field(models.unchanged, models.keyed)


def _equal_keys(models: Models) -> str:
    equal_keys(models.keyed)
    by_key: dict[str, dict[TrialConfig, None]] = {}
    for trial in models.feasible:
        by_key.setdefault(config_key(trial), {}).update({trial: None, canonical(trial): None})
    pairs = [(first, other) for first, *others in by_key.values() for other in others]
    for first, other in some(pairs, PAIRS):
        _require_alike(first, other)
    return f"{min(len(pairs), PAIRS)} pairs of settings" if pairs else "no two settings have the same key"


def _require_alike(first: TrialConfig, other: TrialConfig) -> None:
    """Require that configurations with the same key have the same shapes, and the same outputs with equal weights."""
    names = f"settings with {apart(first, other)} have the same key, but"
    one, two = (_built(trial) for trial in (first, other))
    shapes = [sorted(tuple(weight.shape) for weight in model.state_dict().values()) for model in (one, two)]
    require(shapes[0] == shapes[1], f"{names} the shapes of their weights differ")
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
            raise Broken(f"{shown(trial)} is declared feasible, but fails: {said(error)}") from error
    for trial in models.infeasible:
        reasons = list(infeasibilities(trial))
        for reason in reasons:
            require(
                reason.path.startswith("model.") and reason.rule,
                f"{reason} must have a rule, and a path that starts with model.",
            )
        try:
            _outputs(_built(trial))
        except Exception:  # noqa: BLE001, S112 - expected
            continue
        raise Broken(f"{shown(trial)} is declared infeasible ({reasons[0].path} {reasons[0].message}), but runs")
    return f"{len(models.feasible)} feasible settings, {len(models.infeasible)} infeasible"


def _forward_backward(models: Models) -> str:
    import torch

    for trial, classes in itertools.product(some(models.feasible, FEW), (CLASSES, OTHER_CLASSES)):
        torch.manual_seed(0)
        model = build_model(trial.model, classes).train()
        logits = model(_images())
        wanted = (IMAGES, classes)
        require(
            logits.shape == wanted,
            f"{shown(trial)} returns shape {tuple(logits.shape)} for {IMAGES} images, not {wanted}",
        )
        require(logits.dtype == torch.float32, f"{shown(trial)} returns {logits.dtype}, not float32")
        require(bool(logits.isfinite().all()), f"{shown(trial)} returns values that are not finite")
        torch.nn.functional.cross_entropy(logits, torch.arange(IMAGES) % classes).backward()
        without = [name for name, weight in model.named_parameters() if weight.grad is None]
        require(not without, f"{shown(trial)} has weights without a gradient: {', '.join(without[:FEW])}")
    return f"{CLASSES} and {OTHER_CLASSES} classes"


def _size(models: Models) -> str:
    from convnn.cost import measure_cost

    exact = 0
    for trial in some(models.feasible, SOME):
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
            _require_size(trial, ("about", total), measured, "values that a step keeps per image", holds=near)
    return f"{exact} in closed form" if exact else "parameters are a lower bound; `convnn plan` builds the model"


def _require_size(trial: TrialConfig, says: tuple[str, float], has: float, what: str, *, holds: bool) -> None:
    word, number = says
    wrong = f"{shown(trial)} declares {word} {number:,.0f} {what}, but the built model has {has:,.0f}"
    require(holds, wrong.replace("  ", " "))


def _deterministic(models: Models) -> str:
    for trial in some(models.feasible, FEW):
        first, second = (_trained(trial) for _ in range(2))
        require(
            first == second,
            f"{shown(trial)} trained twice with the same seed has different weights; use only torch's generator",
        )
    return "two steps of training, twice"


def _trained(trial: TrialConfig) -> str:
    """Return the digest of the weights after two steps of a trial's training."""
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

    for trial in some(models.feasible, FEW):
        model = _built(trial)
        with tempfile.TemporaryDirectory(prefix="convnn-check-") as place:
            plain = trial.model.factory(CLASSES).as_plain()
            save_classifier(Path(place), plain, model.state_dict(), meaning_of("digits", 0))
            again = load_classifier(place).model
        require(
            torch.equal(_outputs(model), _outputs(again)),
            f"{shown(trial)} returns other values after saving and loading",
        )
    return ""


def _built(trial: TrialConfig) -> "nn.Module":
    import torch

    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return build_model(trial.model, CLASSES)


def _outputs(model: "nn.Module") -> "Tensor":
    """Return the outputs for a few images in evaluation mode, with fixed random numbers."""
    import torch

    with torch.random.fork_rng([]), torch.inference_mode():
        torch.manual_seed(1)
        found: Tensor = model.eval()(_images())
    return found


def _images() -> "Tensor":
    import torch

    return torch.randn(IMAGES, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def _reversed(tree: Any) -> Any:  # noqa: ANN401 - plain data
    return {name: _reversed(tree[name]) for name in reversed(tree)} if isinstance(tree, dict) else tree


def shown(trial: TrialConfig) -> str:
    """Return the tested part of a trial in one line."""
    model = trial.model
    part = model.mixing_layer if model.name in (VGG["name"], VIT["name"]) else model
    return f"{{{', '.join(f'{name}: {value}' for name, value in part.model_dump(by_alias=True).items())}}}"
