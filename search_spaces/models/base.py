"""What the rest asks of a model, and of the part of it that mixes tokens.

Each model is one class in one file, which holds all that is known of it. Only what makes it and its training differ
has to be said: what is left out here means that there is nothing to say.
"""

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, NamedTuple, Self

from convnn import plugins
from search_spaces.base import Config, Factory, Infeasible
from search_spaces.registry import Registry


class MixingLayer(Config):
    """A kind of the part by which a model's tokens meet."""

    fixed_lam: ClassVar[float] = 0.0
    """The lambda of a kind that has no such field."""

    is_baseline: ClassVar[bool] = False
    """Whether it is what the others are compared with: a plain convolution, plain attention."""

    def headline(self) -> dict[str, Any]:
        """The paper's parameters, as far as it has them."""
        candidates = getattr(self, "candidates", None)
        return {
            "lambda": lam(self),
            "k": getattr(self, "k", None),
            "r": getattr(candidates, "r", None),
            "p": getattr(self, "patch", None),
            "aggregation": getattr(self, "aggregation", None),
        }


def capped(config: Config, name: str, enough: int) -> int:
    """A field's value, the same for all from `enough` on: the default if that is one of them."""
    value: int = getattr(config, name)
    return value if value < enough else max(enough, type(config).model_fields[name].default)


def lam(layer: MixingLayer) -> float:
    """The lambda of any kind of layer: 1 for ConvNN alone, 0 where there is none."""
    return float(getattr(layer, "lam", layer.fixed_lam))


class Kept(NamedTuple):
    """Numbers per image that a training step keeps, and those of each of the tensors that they are in."""

    numbers: int
    tensor: int


def total(parts: Iterable[int | None]) -> int | None:
    """Their sum; `None` if one is not known."""
    known = list(parts)
    return None if None in known else sum(part for part in known if part is not None)


class ModelConfig(Config):
    """A model: its fields, and what follows from them. Paths are those of a trial: `model.layer.k`."""

    name: str

    small: ClassVar[dict[str, float]] = {}
    """Fields and the most that they are where it is made small."""

    @property
    def mixing_layer(self) -> MixingLayer:
        """The part of the model that this project varies."""
        raise NotImplementedError

    def factory(self, classes: int) -> Factory:
        """What makes its module."""
        raise NotImplementedError

    def infeasibilities(self) -> Iterator[Infeasible]:
        """Everything that keeps it from running."""
        return iter(())

    def canonical(self) -> Self:
        """The same for all configurations of it that compute the same; asked only of one that can run."""
        return self

    def smaller(self) -> Self:
        """The same with fewer channels and blocks, as far as it can run, to try a sweep in minutes."""
        found = self
        for name, most in self.small.items():
            less = found.model_copy(update={name: min(getattr(found, name), most)})
            found = less if next(less.infeasibilities(), None) is None else found
        return found

    def key_content(self) -> dict[str, Any]:
        """What of it enters the keys, as plain data."""
        return self.model_dump(mode="json")

    def parameters(self, classes: int) -> int:  # noqa: ARG002
        """Its parameters: the exact number, or one that it has at least."""
        return 0

    def classifier_parameters(self, classes: int) -> int:  # noqa: ARG002
        """Of its parameters those after the last layer that `mixing_layer` describes; 0 where that is not said."""
        return 0

    def folded(self) -> int:
        """Of its parameters those that training under AdamW does not hold (docs/adr/0011)."""
        return 0

    def activations(self) -> int:
        """Numbers per image that no training step can do without."""
        return 0

    def kept(self, classes: int) -> list[Kept] | None:  # noqa: ARG002
        """About what a training step keeps for its backward pass; `None` as for `flops`."""
        return None

    def headline(self) -> dict[str, Any]:
        """Those of the paper's parameters that it has."""
        return self.mixing_layer.headline()

    def flops(self, classes: int) -> int | None:  # noqa: ARG002
        """Of one image's forward pass, as `convnn.cost` counts them; `None` where they are only known by a measurement.

        A model that gives them has exact `parameters` as well.
        """
        return None


MODELS = Registry(ModelConfig, "name", group=plugins.MODELS)
register_model = MODELS.register
"""Lets files name another model, a subclass of ModelConfig."""
