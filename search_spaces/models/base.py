"""The interface of a model, and of the layer in it that mixes tokens.

Each model is one class in one file. A model only has to override what differs from the defaults here.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple, Self

from search_spaces.base import Config, Factory, Infeasible
from search_spaces.registry import Registry


class MixingLayer(Config):
    """A kind of layer that mixes a model's tokens."""

    fixed_lam: ClassVar[float] = 0.0
    """The lambda of a kind without such a field."""

    is_baseline: ClassVar[bool] = False
    """Whether it is a baseline for the other kinds: a plain convolution, or plain attention."""

    def parts(self) -> "Sequence[MixingLayer]":
        """Return its layers: one, or several if layers differ by depth."""
        return [self]

    def headline(self) -> dict[str, Any]:
        """Return the paper's parameters; `None` for those that it does not have, or that differ between its layers."""
        if self.parts() != [self]:
            found = [part.headline() for part in self.parts()]
            values = {name: {each[name] for each in found} - {None} for name in found[0]}
            return {name: seen.pop() if len(seen) == 1 else None for name, seen in values.items()}
        candidates = getattr(self, "candidates", None)
        return {
            "lambda": lam(self),
            "k": getattr(self, "k", None),
            "r": getattr(candidates, "r", None),
            "p": getattr(self, "patch", None),
            "aggregation": getattr(self, "aggregation", None),
        }


def capped(config: Config, name: str, enough: int) -> int:
    """Return a field's value, or one common value if it is at least `enough`: the default, if that is large enough."""
    value: int = getattr(config, name)
    return value if value < enough else max(enough, type(config).model_fields[name].default)


def lam(layer: MixingLayer) -> float:
    """Return the lambda of any kind of layer: 1 for ConvNN alone, 0 without ConvNN."""
    return float(getattr(layer, "lam", layer.fixed_lam))


class Kept(NamedTuple):
    """Numbers per image that a training step keeps, and the numbers in each of their tensors."""

    numbers: int
    tensor: int


def total(parts: Iterable[int | None]) -> int | None:
    """Return the sum; `None` if any part is unknown."""
    known = list(parts)
    return None if None in known else sum(part for part in known if part is not None)


class ModelConfig(Config):
    """A model: its fields, and properties derived from them. Paths are those of a trial: `model.layer.k`."""

    name: str

    small: ClassVar[dict[str, float]] = {}
    """Upper limits of fields in the small version of the model."""

    @property
    def mixing_layer(self) -> MixingLayer:
        """The layer of the model that this project varies."""
        raise NotImplementedError

    def factory(self, classes: int) -> Factory:
        """Return the recipe for its module."""
        raise NotImplementedError

    def infeasibilities(self) -> Iterator[Infeasible]:
        """Yield every reason why it cannot run."""
        return iter(())

    def canonical(self) -> Self:
        """Return the form that all configurations with the same computation share; the model must be able to run."""
        return self

    def smaller(self) -> Self:
        """Return a version with fewer channels and blocks, as far as that can run, to try a sweep in minutes."""
        found = self
        for name, most in self.small.items():
            less = found.model_copy(update={name: min(getattr(found, name), most)})
            found = less if next(less.infeasibilities(), None) is None else found
        return found

    def key_content(self) -> dict[str, Any]:
        """Return the content of its keys, as plain data."""
        return self.model_dump(mode="json")

    def parameters(self, classes: int) -> int:  # noqa: ARG002
        """Return the number of parameters: exact, or a lower bound."""
        return 0

    def classifier_parameters(self, classes: int) -> int:  # noqa: ARG002
        """Return the number of parameters after the last layer that `mixing_layer` describes; 0 if unknown."""
        return 0

    def folded(self) -> int:
        """Return the number of parameters that training with AdamW does not hold in memory (docs/adr/0011)."""
        return 0

    def activations(self) -> int:
        """Return the numbers per image that every training step needs."""
        return 0

    def kept(self, classes: int) -> list[Kept] | None:  # noqa: ARG002
        """Estimate the numbers that a training step keeps for its backward pass; `None` as for `flops`."""
        return None

    def headline(self) -> dict[str, Any]:
        """Return the paper's parameters of the mixing layer."""
        return self.mixing_layer.headline()

    def flops(self, classes: int) -> int | None:  # noqa: ARG002
        """Return the FLOPs of one image's forward pass, counted as in `convnn.cost`; `None` if they must be measured.

        A model that returns them must return exact `parameters` as well.
        """
        return None


MODELS = Registry(ModelConfig, "name")
register_model = MODELS.register
"""Register another model, a subclass of ModelConfig, so that files can use it."""
