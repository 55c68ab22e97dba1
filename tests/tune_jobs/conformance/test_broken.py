"""Each fault of a kind is reported in one clear line for the right property."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import optuna
import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from convnn.data.facts import DatasetFacts, Split, register_dataset, unregister_dataset
from convnn.data.parquet import Arrays
from convnn.geometry import Stage
from convnn.plugins import DATASETS, LAYERS, SAMPLERS, STOPPING_RULES
from search_spaces import Space
from search_spaces.base import Config, Factory, Infeasible
from search_spaces.models import VGGLayer
from search_spaces.models.vgg import LAYERS as ALL_LAYERS
from search_spaces.settings import RULES, SamplerSettings, Stopping
from search_spaces.settings import SAMPLERS as ALL_SAMPLERS
from tune_jobs.conformance.check import properties_of
from tune_jobs.conformance.kinds import Subject
from tune_jobs.conformance.outcome import checked
from tune_jobs.search.pruners.base import StoppingRule, score
from tune_jobs.search.samplers.base import Point, Sampler

HERE = __name__


class Layer(nn.Conv2d):
    """A convolution with one fault."""

    def __init__(self, inputs: int, outputs: int, fault: str = "", reach: int = 1) -> None:
        super().__init__(inputs, outputs, 3, padding=1)
        if fault == "strict" and reach > 2:
            raise ValueError("too far")
        if fault == "random":
            self.weight.data *= 1 + random.Random().random()
        if fault == "unused":
            self.unused = nn.Parameter(torch.ones(1))
        self.fault, self.reach = fault, reach

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * (float("nan") if self.fault == "nan" else self.reach)


class _Layer(VGGLayer):
    config_version: ClassVar[int] = 1
    fault: ClassVar[str] = ""
    reach: Annotated[int, Field(ge=1, le=8, description="Factor of the outputs.")] = 1

    def arguments(self) -> dict[str, Any]:
        return {"layer": Factory("torch.nn:Conv2d" if self.fault == "torch" else f"{HERE}:Layer", self.options())}

    def options(self) -> dict[str, Any]:
        return {"kernel_size": 3, "padding": 1} if self.fault == "torch" else {"fault": self.fault, "reach": self.reach}


class Sound(_Layer):
    """A layer without faults."""

    kind: Literal["sound"]


class Silent(_Layer):
    """A field has no description."""

    kind: Literal["silent"]
    more: int = 1


class Listed(_Layer):
    """A field has a type that files do not support."""

    kind: Literal["listed"]
    more: Annotated[tuple[int, ...], Field(description="Several.")] = (1,)


class Required(_Layer):
    """A field has no default, and no tested value is valid."""

    kind: Literal["required"]
    more: Annotated[int, Field(ge=1000, description="A large number.")]


class Impossible(_Layer):
    """A default is not valid."""

    kind: Literal["impossible"]
    more: Annotated[int, Field(ge=10, description="A number.")] = 1


class Wandering(_Layer):
    """The canonical form is not canonical itself."""

    kind: Literal["wandering"]

    def canonical(self, stages: list[Stage]) -> VGGLayer:
        del stages
        return self.model_copy(update={"reach": self.reach - 1}) if self.reach > 1 else self


class Forgetful(_Layer):
    """The keys lack a field that matters."""

    kind: Literal["forgetful"]

    def key_content(self, stages: list[Stage]) -> dict[str, Any]:
        del stages
        return {"kind": self.kind}


class Merging(_Layer):
    """The canonical form drops a field that matters."""

    kind: Literal["merging"]

    def canonical(self, stages: list[Stage]) -> VGGLayer:
        del stages
        return self.model_copy(update={"reach": 1})


class Lenient(_Layer):
    """Settings that fail are declared feasible."""

    kind: Literal["lenient"]
    fault: ClassVar[str] = "strict"


class Strict(_Layer):
    """Settings that run are declared infeasible."""

    kind: Literal["strict"]

    def infeasibilities(self, stages: list[Stage]) -> Iterator[Infeasible]:
        del stages
        if self.reach > 2:
            yield Infeasible("model.layer.reach", "must be at most 2", str(self.reach), "use a smaller value")


class Unlearned(_Layer):
    """A weight has no gradient."""

    kind: Literal["unlearned"]
    fault: ClassVar[str] = "unused"


class Infinite(_Layer):
    """Its outputs are not finite."""

    kind: Literal["infinite"]
    fault: ClassVar[str] = "nan"


class Miscounted(_Layer):
    """It declares too many parameters."""

    kind: Literal["miscounted"]

    def parameters(self, stage: Stage) -> int:
        del stage
        return 10**9


class Misjudged(_Layer):
    """It declares wrong FLOPs."""

    kind: Literal["misjudged"]

    def parameters(self, stage: Stage) -> int:
        return 9 * stage.in_channels * stage.out_channels + stage.out_channels

    def flops(self, stage: Stage) -> int:
        return 18 * stage.side * stage.in_channels * stage.out_channels


class Seedless(_Layer):
    """Its weights do not come from torch's generator."""

    kind: Literal["seedless"]
    fault: ClassVar[str] = "random"


class Foreign(_Layer):
    """The builder of its modules is not in a plugin."""

    kind: Literal["foreign"]
    fault: ClassVar[str] = "torch"


LAYER_FAULTS: list[tuple[type[VGGLayer], str, str]] = [
    (Silent, "the schema describes it", "more must have a description: Field(description=...)"),
    (Listed, "the schema describes it", "more must be a number, text, a boolean, a Literal of words, or a Config"),
    (Required, "its defaults are valid", "the field more has no default, and none of (1, 2, 3"),
    (Impossible, "its defaults are valid", "the default of more must be a whole number, at least 10; got 1"),
    (Wandering, "its canonical form is stable", "is not canonical itself"),
    (Forgetful, "equal keys mean equal models", "with the same weights their outputs differ by"),
    (Merging, "equal keys mean equal models", "have the same key, but with the same weights their outputs differ by"),
    (Lenient, "exactly the feasible settings can be built", "is declared feasible, but fails: ValueError: too far"),
    (
        Strict,
        "exactly the feasible settings can be built",
        "is declared infeasible (model.layer.reach must be at most",
    ),
    (Unlearned, "forward and backward", "has weights without a gradient: features.0.unused"),
    (Infinite, "forward and backward", "returns values that are not finite"),
    (Miscounted, "its declared size matches the built model", "parameters, but the built model has"),
    (Misjudged, "its declared size matches the built model", "FLOPs, but the built model has"),
    (Seedless, "the same seed gives the same weights", "trained twice with the same seed has different weights"),
    (Foreign, "a saved model loads again", "its model must be built by one of"),
]


def wrong_of(subject: Subject, registry: Any, only: str | None = None) -> dict[str, str]:
    """Return the properties that do not hold, with their messages."""
    with registry.registered(subject.found):
        asked = [each for each in properties_of(subject) if only in (None, each[0])]
        assert asked
        return {each.property: each.says for each in checked(asked) if not each.ok}


def layer(kind: type[Config]) -> Subject:
    return Subject(LAYERS, kind.__name__.lower(), None, kind, "search_spaces.models.vgg", "kind")


def test_a_layer_without_faults_passes_all_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convnn.saved.packages", lambda: {"convnn", "tests"})
    assert wrong_of(layer(Sound), ALL_LAYERS) == {}


@pytest.mark.parametrize(("kind", "broken", "said"), LAYER_FAULTS, ids=lambda each: getattr(each, "__name__", ""))
def test_a_fault_of_a_layer_is_reported_in_one_line(kind: type[VGGLayer], broken: str, said: str) -> None:
    found = wrong_of(layer(kind), ALL_LAYERS, broken)
    assert said in found[broken]
    assert "\n" not in found[broken]


def test_settings_that_import_torch_or_fail_to_import_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "heavy_settings.py").write_text("import torch\n")
    (tmp_path / "no_settings.py").write_text("import no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    name = "its settings load without torch"
    heavy = wrong_of(replace(layer(Sound), module="heavy_settings"), ALL_LAYERS, name)[name]
    assert heavy.startswith(
        "heavy_settings imports 'torch'; move the code that needs it to another module, and refer to it as"
    )
    absent = wrong_of(replace(layer(Sound), module="no_settings"), ALL_LAYERS, name)[name]
    assert absent == "no_settings cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"


class Raw(Stopping):
    """A rule that compares raw values, whatever the goal."""

    config_version: ClassVar[int] = 1
    made_by: ClassVar[str] = f"{HERE}:RawRule"
    kind: Literal["raw"]


class RawRule(StoppingRule):
    def __init__(self, settings: Raw, space: Space) -> None:
        del settings, space

    def stops(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        del study
        return trial.intermediate_values[trial.last_step or 0] < 0.4


class Counting(Stopping):
    """A rule with a state outside of the record."""

    config_version: ClassVar[int] = 1
    made_by: ClassVar[str] = f"{HERE}:CountingRule"
    kind: Literal["counting"]


class CountingRule(StoppingRule):
    asked = 0

    def __init__(self, settings: Counting, space: Space) -> None:
        del settings, space

    def stops(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        del study, trial
        CountingRule.asked += 1
        return CountingRule.asked % 5 == 0


class Hopeful(Stopping):
    """A rule that does not stop trials with NaN."""

    config_version: ClassVar[int] = 1
    made_by: ClassVar[str] = f"{HERE}:HopefulRule"
    kind: Literal["hopeful"]


class HopefulRule(StoppingRule):
    def __init__(self, settings: Hopeful, space: Space) -> None:
        del settings, space

    def stops(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        value = trial.intermediate_values[trial.last_step or 0]
        return value == value and score(study, value) < 0.4  # noqa: PLR0124 - NaN is not


class Idle(Stopping):
    """Settings without `made_by`."""

    config_version: ClassVar[int] = 1
    kind: Literal["idle"]


SETTLED = "with settled ranks it stops the same trials, also rebuilt and minimized"
RULE_FAULTS: list[tuple[type[Stopping], str, str]] = [
    (Raw, "minimizing the negated metric gives the same decisions", "its decisions differ for a loss: trial "),
    (
        Counting,
        "a search rebuilt at any record stops the same trials at the same epochs",
        "get other decisions the second time",
    ),
    (
        Hopeful,
        "NaN is never better than the worst value",
        "a trial with NaN runs to epoch 9, but the worst trial only to",
    ),
    (
        Idle,
        SETTLED,
        "must name the function that makes it from its settings and the space: made_by = 'package.module:name'.",
    ),
]


@pytest.mark.parametrize(("kind", "broken", "said"), RULE_FAULTS, ids=lambda each: getattr(each, "__name__", ""))
def test_a_fault_of_a_stopping_rule_is_reported_in_one_line(kind: type[Stopping], broken: str, said: str) -> None:
    subject = Subject(STOPPING_RULES, kind.__name__.lower(), None, kind, "search_spaces.settings", "kind")
    found = wrong_of(subject, RULES, broken)
    assert said in found[broken]
    assert "\n" not in found[broken]


class _Sampled(SamplerSettings):
    config_version: ClassVar[int] = 1
    made_by: ClassVar[str] = f"{HERE}:FaultySampler"
    trials: Annotated[int, Field(ge=1, description="Configurations to train.")]


class Outside(_Sampled):
    """A sampler that proposes values outside of the space."""

    sampler: Literal["outside"]


class Forgetting(_Sampled):
    """A sampler with a separate random generator."""

    sampler: Literal["forgetting"]


class Lazy(_Sampled):
    """A sampler that ends before all points are proposed."""

    sampler: Literal["lazy"]


class Unset(_Sampled):
    """A field has no default, and no tested value is valid."""

    sampler: Literal["unset"]
    more: Annotated[int, Field(ge=1000, description="A large number.")]


class FaultySampler(Sampler):
    goes_through_all = True

    def __init__(self, settings: _Sampled, space: Space) -> None:
        self._fault, self._space, self._rng = settings.sampler, space, random.Random(0)

    def decide(self, number: int, seed: int) -> Point | None:
        if self._fault == "lazy" and number >= 3:
            return None
        rng = self._rng if self._fault == "forgetting" else random.Random(seed)
        point = self._space.draw(rng)
        if self._fault == "outside":
            point = {path: value + 0.5 if isinstance(value, float) else value for path, value in point.items()}
        return point


SAMPLER_FAULTS = [
    (Outside, "its proposals are in the space", "which is not in the space"),
    (
        Forgetting,
        "a search rebuilt at any record makes the same proposals",
        "differs after a rebuild; a proposal may depend only on",
    ),
    (Unset, "its defaults are valid", "the field more has no default, and none of (1, 2, 3"),
    (Lazy, "it ends after all points of the space", "it proposes 3 of the 9 configurations and ends"),
]


@pytest.mark.filterwarnings("ignore:Fixed parameter")  # from Optuna, for a point outside of the space
@pytest.mark.parametrize(("kind", "broken", "said"), SAMPLER_FAULTS, ids=lambda each: getattr(each, "__name__", ""))
def test_a_fault_of_a_sampler_is_reported_in_one_line(kind: type[_Sampled], broken: str, said: str) -> None:
    subject = Subject(SAMPLERS, kind.__name__.lower(), None, kind, "search_spaces.settings", "sampler")
    found = wrong_of(subject, ALL_SAMPLERS, broken)
    assert said in found[broken]
    assert "\n" not in found[broken]


@dataclass(frozen=True)
class Images:
    """A source of 16 images per split, with one fault."""

    fault: str

    def fingerprint(self, split: Split) -> str:
        return f"{self.fault} {split}"

    def read(self, split: Split) -> Arrays:
        if self.fault == "missing":
            raise FileNotFoundError(2, "No such file or directory", "images.bin")
        rng = np.random.default_rng(None if self.fault == "seedless" else 0 if self.fault == "twice" else len(split))
        count = 15 if self.fault == "fewer" else 16
        labels = np.arange(count, dtype=np.int64) % (3 if self.fault == "beyond" else 2)
        return rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8), labels * (self.fault != "one class")


DATA_FAULTS = {
    "fewer": (
        "its splits have the declared number of images",
        "the shape (15, 32, 32, 3), not (16, 32, 32, 3)",
    ),
    "beyond": ("its labels are valid classes", "the train split has labels [2]; they must be 0 to 1"),
    "one class": ("its labels are valid classes", "the train split has no image of the classes [1]"),
    "seedless": ("its digests are the same at each read", "the train split differs at each read"),
    "twice": ("its digests are the same at each read", "the train and test splits have the same images"),
    "missing": ("its splits have the declared number of images", "No such file or directory"),
}


@pytest.mark.parametrize("fault", DATA_FAULTS)
def test_a_fault_of_a_data_set_is_reported_in_one_line(fault: str) -> None:
    facts = DatasetFacts(2, 16, 16, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), config_version=1)
    name = f"faulty-{fault.replace(' ', '-')}"
    register_dataset(name, facts, lambda _: Images(fault))
    try:
        asked = properties_of(Subject(DATASETS, name, None, facts, "convnn.data.facts"))
        found = {each.property: each.says for each in checked(asked) if not each.ok}
    finally:
        unregister_dataset(name)
    broken, said = DATA_FAULTS[fault]
    assert said in found[broken]
    assert fault == "missing" or len(found) == 1
