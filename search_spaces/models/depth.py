"""Layers of VGG-11 by depth: one layer for each range of stages, and the equivalent single layer if there is one."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice, product
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, SerializerFunctionWrapHandler, create_model, model_serializer, model_validator

from convnn.geometry import Stage, convnn_channels, range_mistakes, range_name, runs_of, stage_ranges
from search_spaces.base import Infeasible
from search_spaces.models.base import MixingLayer, lam
from search_spaces.models.vgg import LAYERS, HybridLayer, VGGLayer
from search_spaces.registry import OneOf

_TRIED = 64
"""Maximum number of single layers that are compared with layers by depth."""

_ONLY_HERE = {"candidates", "padding", "position", "position_scaling", "rho", "self_score", "similarity"}
"""Fields that may have no effect in one stage and an effect in another."""


def without_null(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    """Drop fields that are null: only those in `names`, or all if no names are given."""
    return {name: value for name, value in fields.items() if value is not None or (names and name not in names)}


class _Layers(VGGLayer):
    """Instead of layer: one layer for each stage (conv1 to conv8) or range of stages, such as conv5-conv8."""

    uses_some_fields: ClassVar = True

    @classmethod
    def mistakes_in(cls, names: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Require exactly one layer for each stage."""
        return range_mistakes(names)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for name, message in self.mistakes_in(list(self.by_range)):
            raise ValueError(f"{name} {message}".strip())
        return self

    @model_serializer(mode="wrap")
    def _as_given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_null(handler(self))

    @property
    def by_range(self) -> dict[str, VGGLayer]:
        """The layer of each range, by the range's name, in the order of the stages."""
        found = ((name, getattr(self, _attribute(name))) for name in stage_ranges())
        return {name: layer for name, layer in found if layer is not None}

    @property
    def by_stage(self) -> dict[str, VGGLayer]:
        """The layer of each stage, by the stage's name."""
        return {stage: layer for name, layer in self.by_range.items() for stage in stage_ranges()[name]}

    def parts(self) -> Sequence[MixingLayer]:
        return list(self.by_range.values())

    def arguments(self) -> dict[str, Any]:
        return {"layers": {name: layer.arguments() for name, layer in self.by_range.items()}}

    def infeasibilities(self, stages: list[Stage]) -> Iterator[Infeasible]:
        for name, layer in self.by_range.items():
            own = [stage for stage in stages if stage.name in stage_ranges()[name]]
            for reason in layer.infeasibilities(own):
                yield replace(reason, path=f"model.layers.{name}{reason.path.removeprefix('model.layer')}")

    def canonical(self, stages: list[Stage]) -> VGGLayer:
        """Return one layer if it is equivalent; otherwise each stage's own form, with equal neighbors in one range."""
        given = list(self.by_stage.values())
        if all(layer == given[0] for layer in given):
            return given[0].canonical(stages)
        forms = [layer.canonical([stage]) for layer, stage in zip(given, stages, strict=True)]
        return _one_for_all(forms, stages) or layers_of(dict(zip(self.by_stage, forms, strict=True)))

    def key_content(self, stages: list[Stage]) -> dict[str, Any]:
        """Return the content per stage, so that it does not depend on how stages are split into ranges."""
        return {"by_stage": [self.by_stage[stage.name].key_content([stage]) for stage in stages]}

    def parameters(self, stage: Stage) -> int:
        return self.by_stage[stage.name].parameters(stage)

    def flops(self, stage: Stage) -> int | None:
        return self.by_stage[stage.name].flops(stage)

    def kept(self, stage: Stage) -> int | None:
        return self.by_stage[stage.name].kept(stage)


def _attribute(name: str) -> str:
    return name.replace("-", "_")


def _described(stages: Sequence[str]) -> str:
    return f"The layer of {stages[0]}." if len(stages) == 1 else f"The layers from {stages[0]} to {stages[-1]}."


if TYPE_CHECKING:
    Layers = _Layers
else:
    Layers = create_model(
        "Layers",
        __base__=_Layers,
        __module__=__name__,
        __doc__=_Layers.__doc__,
        **{
            _attribute(name): (
                Annotated[VGGLayer | None, OneOf(LAYERS)],
                Field(default=None, alias=name, description=_described(stages)),
            )
            for name, stages in stage_ranges().items()
        },
    )


def layers_of(by_stage: dict[str, VGGLayer]) -> Layers:
    """Return layers by depth with one range for each run of stages with equal layers."""
    return Layers.model_validate({range_name(run): by_stage[run[0]] for run in runs_of(by_stage)})


def _one_for_all(forms: Sequence[VGGLayer], stages: list[Stage]) -> VGGLayer | None:
    """Return a layer with the same computation in every stage; `None` if none is found."""

    def is_the_same(layer: VGGLayer) -> bool:
        if any(layer.infeasibilities(stages)):  # first: a canonical form is defined only for a feasible layer
            return False
        pairs = zip(forms, ([stage] for stage in stages), strict=True)
        return all(layer.canonical(stage).key_content(stage) == form.key_content(stage) for form, stage in pairs)

    found = next(filter(is_the_same, islice(_joined(forms, stages), _TRIED)), None)
    return found.canonical(stages) if found else None


def _joined(forms: Sequence[VGGLayer], stages: list[Stage]) -> Iterator[VGGLayer]:
    """Yield layers that combine the field values of the stages."""

    def has_their_channels(share: float) -> bool:
        pairs = ((stage.out_channels, lam(form)) for form, stage in zip(forms, stages, strict=True))
        return all(convnn_channels(out, share) == convnn_channels(out, own) for out, own in pairs)

    kinds = sorted({type(form) for form in forms}, key=lambda kind: (kind is not HybridLayer, kind.__name__))
    for kind in kinds:
        values = {name: _values(name, forms) for name in kind.model_fields if name != "kind"}
        if "lam" in values:
            values["lam"] = list(filter(has_their_channels, values["lam"]))
        if all(name in _ONLY_HERE or len(found) == 1 for name, found in values.items() if name != "lam"):
            first = next(form for form in forms if type(form) is kind)
            for chosen in product(*values.values()):
                yield first.model_copy(update=dict(zip(values, chosen, strict=True)))


def _values(name: str, forms: Iterable[VGGLayer]) -> list[Any]:
    """Return the distinct values of a field over the stages, in order of the stages."""
    found: list[Any] = []
    for form in forms:
        value: Any = getattr(form, name, None)
        if name not in type(form).model_fields or value in found:
            continue
        found.append(value)
        if hasattr(value, "when_too_few"):
            found.append(value.model_copy(update={"when_too_few": "all"}))
    return found
