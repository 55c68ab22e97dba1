"""What configurations are made of: frozen fields, their limits in words, and why one cannot run."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from search_spaces.domains import Domain, Scalar


class Config(BaseModel):
    """Frozen; an unknown key is an error, and no text is taken for a number."""

    # a class is built at its first use, so that a program that needs few of them starts at once
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True, defer_build=True)

    config_version: ClassVar[int | None] = None
    """Of a plugin's kind: part of the keys of its trials, and raised when the same settings compute something else."""

    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ()
    """Settings with which `convnn check-plugin` tries a kind, where its defaults are not enough."""


@dataclass(frozen=True)
class Rule:
    """Marks a field with its limits in words, where the types alone do not say them."""

    text: str


@dataclass(frozen=True)
class Decides:
    """Marks a field that decides whether a configuration can run.

    `values` gives those values of a domain that decide it: if a configuration can run with any of the domain's values,
    it can with one of these.
    """

    values: Callable[[Domain], Sequence[Scalar]]


def representative_values(metadata: Iterable[object], domain: Domain) -> tuple[Scalar, ...]:
    """The values of a field's domain that decide whether any of its values can run; one, where the field does not."""
    marks = (mark for mark in metadata if isinstance(mark, Decides))
    decides = next(marks, None)
    return tuple(decides.values(domain)) if decides else domain.examples()[:1]


def decides(metadata: Iterable[object]) -> bool:
    """Whether a field is marked so."""
    return any(isinstance(mark, Decides) for mark in metadata)


@dataclass(frozen=True)
class Infeasible:
    """Why a configuration cannot run: the path of the field to change, the rule, what it has instead, the way out."""

    path: str
    rule: str
    got: str = ""
    way_out: str = ""
    before_got: str = ", "
    """What parts the rule from what the field has."""

    @property
    def message(self) -> str:
        """All of it but the path, in a sentence."""
        got = f"{self.before_got}got {self.got}" if self.got else ""
        return f"{self.rule}{got}; {self.way_out}." if self.way_out else f"{self.rule}{got}"


@dataclass(frozen=True)
class Factory:
    """What makes a module, without importing it: a callable as `package.module:name`, and its keyword arguments.

    An argument that is a Factory itself stands for the callable that it names, with its arguments given.
    """

    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def as_plain(self) -> dict[str, Any]:
        """As `convnn.plugins.made` takes it."""
        plain = {
            key: value.as_plain() if isinstance(value, Factory) else value for key, value in self.arguments.items()
        }
        return {"target": self.target, "arguments": plain}


def by_path(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a tree of mappings, by path: `model.layer.k`."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from by_path(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
