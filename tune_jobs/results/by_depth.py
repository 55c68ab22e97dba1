"""Columns for models with layers by depth, such as `conv5-conv8 lambda`.

Such a configuration has every field of a layer once for each stage, conv1 to conv8. Neighboring stages may be equal in
some trials of a sweep and differ in others, so all trials together decide which stages share a column.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from convnn.geometry import VGG11_STAGES, runs_of, stage_ranges
from search_spaces import TrialConfig
from search_spaces.domains import Scalar
from search_spaces.models.depth import Layers

_ABOVE = "model.layer."
_KEY = re.compile(r"(?:(?:model\.)?layers\.)?(conv[0-9](?:-conv[0-9])?)[. ](.+)")
_STAGED = "model.layers."
_STAGES = tuple(f"{_STAGED}{name}." for name in stage_ranges())

TOLD_BY_LAMBDA = ("conv2d", "hybrid", "convnn")
"""Kinds of layers that lambda determines: 0 convolution, 1 ConvNN, in between hybrid."""


class Fields(dict[str, Scalar]):
    """Fields by key. With one layer for all stages, the fields of a stage are computed on first use."""

    def __init__(self, found: Mapping[str, Scalar], stages: "Callable[[], Fields] | None" = None) -> None:
        super().__init__(found)
        self._stages = stages

    @cached_property
    def by_depth(self) -> "Fields":
        """The same fields, plus those of each stage."""
        return self if self._stages is None else self._stages()

    @property
    def differs_by_depth(self) -> bool:
        """Whether the layers differ by depth."""
        return self._stages is None

    def __missing__(self, key: str) -> Scalar:
        return dict.get(self.by_depth, key) if is_staged(key) else None

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - as of any dict
        """Return the field, or the default."""
        return self[key] if key in self or is_staged(key) else default


def comparable(found: Sequence[Mapping[str, Scalar]]) -> Sequence[Mapping[str, Scalar]]:
    """Return them with the fields of each stage if any of them has layers by depth."""
    if not any(isinstance(values, Fields) and values.differs_by_depth for values in found):
        return found
    return [values.by_depth if isinstance(values, Fields) else values for values in found]


def is_staged(key: str) -> bool:
    """Return whether it is the key, or the path, of a field of one stage or range."""
    return key.startswith(_STAGED) and key.startswith(_STAGES)  # the first is much faster


def staged(path: str, short: Mapping[str, str]) -> list[str]:
    """Return the keys for a path or name in a range of layers, one for each stage; none for any other path.

    `short` maps paths of `model.layer` to keys where the two differ.
    """
    found = _KEY.fullmatch(path)
    if found is None:
        return []
    whole = f"{_ABOVE}{found[2]}"
    return [key_in(stage, short.get(whole, whole)) for stage in stage_ranges().get(found[1], ())]


def base_of(key: str) -> str:
    """Return the key of the same field in a model with one layer for all stages."""
    if not is_staged(key):
        return key
    name = key.removeprefix(_STAGED).partition(".")[2]
    return name if name in _SHORT else f"{_ABOVE}{name}"


_SHORT = ("kind", "lambda", "k", "candidates", "r", "p", "aggregation")


def key_in(stage: str, base: str) -> str:
    """Return the key of a field in one stage."""
    return f"{_STAGED}{stage}.{base.removeprefix(_ABOVE)}"


def one_for_all(config: TrialConfig) -> dict[str, TrialConfig]:
    """Return, for each range of layers, the configuration with its layer in all stages; empty without ranges."""
    layers = config.model.mixing_layer
    return {name: _with(config, layer) for name, layer in layers.by_range.items()} if isinstance(layers, Layers) else {}


def each_stage(config: TrialConfig) -> dict[str, TrialConfig]:
    """Return the same for each stage of a model with one layer for all, with the stage's canonical form."""
    model: Any = config.model
    runs = next(model.infeasibilities(), None) is None
    return {
        stage.name: _with(config, model.layer.canonical([stage]) if runs else model.layer) for stage in model.stages()
    }


def _with(config: TrialConfig, layer: object) -> TrialConfig:
    model = config.model.model_copy(update={"layers": None, "layer": layer})
    return config.model_copy(update={"model": model})


def joined(by_range: Mapping[str, Mapping[str, Scalar]]) -> Fields:
    """Merge the fields of all ranges: the fields of each stage, and the values common to all ranges with a value."""
    found: dict[str, Scalar] = {}
    for key in dict.fromkeys(key for values in by_range.values() for key in values):
        seen = {values.get(key) for values in by_range.values()} - {None}
        of_layer = key in _SHORT or key.startswith(_ABOVE)
        found[key] = seen.pop() if len(seen) == 1 else None
        for name, values in by_range.items() if of_layer else ():
            found |= {key_in(stage, key): values.get(key) for stage in stage_ranges()[name]}
    return Fields(found)


def ranged(keys: Iterable[str], found: Sequence[Mapping[str, Scalar]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the keys to show instead of `keys`, each with its stages, or none if it applies to all layers.

    A field has one key if it never differs between layers. Neighboring stages with equal values share a key.
    """
    bases = dict.fromkeys(base_of(key) for key in keys if is_staged(key))
    apart = [base for base in bases if any(len(_values(base, values)) > 1 for values in found)]
    if {"kind", "lambda"} <= {*apart} and _tells_kinds_apart(found):
        apart.remove("kind")
    for key in keys:
        if is_staged(key) or (key == "kind" and key in bases and "lambda" in apart and key not in apart):
            continue
        if key not in apart:
            yield key, ()
            continue
        by_stage = {stage: [values.get(key_in(stage, key)) for values in found] for stage in VGG11_STAGES}
        yield from ((key_in(run[0], key), tuple(run)) for run in runs_of(by_stage))


def _values(base: str, values: Mapping[str, Scalar]) -> set[Scalar]:
    return {values.get(key_in(stage, base)) for stage in VGG11_STAGES} - {None}


def _tells_kinds_apart(found: Sequence[Mapping[str, Scalar]]) -> bool:
    """Return whether lambda determines the kind of every layer: 0 convolution, 1 ConvNN, in between hybrid."""
    kinds = {values.get(key_in(stage, "kind")) for values in found for stage in VGG11_STAGES}
    return kinds <= {*TOLD_BY_LAMBDA, None}
