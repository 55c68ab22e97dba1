"""Building blocks of configurations: frozen fields, their limits in words, and reasons why one cannot run."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from search_spaces.domains import Domain, Scalar


class Config(BaseModel):
    """A frozen model. An unknown key is an error, and text is never converted to a number."""

    # classes are built at first use, so that a program that needs few of them starts quickly
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True, defer_build=True)

    config_version: ClassVar[int | None] = None
    """The version of a plugin's kind, part of its keys. Raise it when the same settings change their meaning."""

    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ()
    """Settings with which `convnn check-plugin` tests a kind, if its defaults are not enough."""

    uses_some_fields: ClassVar[bool] = False
    """Whether its fields are alternatives, so that files and messages name only some: the ranges of layers by depth."""

    @classmethod
    def mistakes_in(cls, names: Sequence[str]) -> Iterator[tuple[str, str]]:  # noqa: ARG003
        """Yield the mistakes in this combination of fields: the wrong field, or "" for all of them, and a message."""
        return iter(())


@dataclass(frozen=True)
class Rule:
    """Describe a field's limits in words, where the types alone do not."""

    text: str


@dataclass(frozen=True)
class Decides:
    """Mark a field that decides whether a configuration can run.

    `values` returns the decisive values of a domain: if a configuration can run with any value of the domain, it can
    run with one of these.
    """

    values: Callable[[Domain], Sequence[Scalar]]


def representative_values(metadata: Iterable[object], domain: Domain) -> tuple[Scalar, ...]:
    """Return the values that decide whether any value of the domain can run; one value if the field does not decide."""
    marks = (mark for mark in metadata if isinstance(mark, Decides))
    decides = next(marks, None)
    return tuple(decides.values(domain)) if decides else domain.examples()[:1]


def decides(metadata: Iterable[object]) -> bool:
    """Return whether a field is marked with `Decides`."""
    return any(isinstance(mark, Decides) for mark in metadata)


@dataclass(frozen=True)
class Infeasible:
    """Why a configuration cannot run: the path of the field to change, the rule, the value received, the way out."""

    path: str
    rule: str
    got: str = ""
    way_out: str = ""
    before_got: str = ", "
    """Separator between the rule and the value received."""

    @property
    def message(self) -> str:
        """Everything except the path, as one sentence."""
        got = f"{self.before_got}got {self.got}" if self.got else ""
        return f"{self.rule}{got}; {self.way_out}." if self.way_out else f"{self.rule}{got}"


@dataclass(frozen=True)
class Factory:
    """A recipe for a module that does not import it: a callable as `package.module:name`, and its keyword arguments.

    Arguments may contain Factories, also inside mappings. Each Factory stands for the callable that it names, with its
    arguments bound.
    """

    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def as_plain(self) -> dict[str, Any]:
        """Return it as plain data for `convnn.plugins.made`."""
        return {"target": self.target, "arguments": _plain(self.arguments)}


def _plain(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value.as_plain() if isinstance(value, Factory) else _plain(value) if isinstance(value, dict) else value
        for key, value in arguments.items()
    }


def by_path(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a tree of mappings with their paths, such as `model.layer.k`."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from by_path(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
