"""Registries of configuration classes by name. A sweep file may use every registered name.

Other packages add their classes through entry points of the group `convnn_sweeps.models`. An entry point names a class
that is registered where it is defined, or a function without arguments that registers classes. Entry points are loaded
at the first request for an unknown name or for all names.
"""

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import FunctionType
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar, Union, get_args

from pydantic import Field, TypeAdapter
from pydantic_core import core_schema

from convnn.plugins import GROUP
from search_spaces.base import Config

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

C = TypeVar("C", bound=Config)

_log = logging.getLogger(__name__)


class Registry(Generic[C]):
    """The classes of one kind of configuration, in order, by the value of their discriminator field."""

    def __init__(self, base: type[C], key: str, *own: type[C]) -> None:
        self.base, self.key = base, key
        self._by_name: dict[str, type[C]] = {}
        self._union: TypeAdapter[C] | None = None
        for found in own:
            self.register(found)

    def register(self, found: type[C]) -> type[C]:
        """Let sweep files use `found`, named by its field `key`. Usable as a decorator.

        Raises:
            TypeError: If it is not a subclass of `base`, or its field is not a Literal of a string.
            ValueError: If another class already has the name.
        """
        if not (isinstance(found, type) and issubclass(found, self.base)):
            raise TypeError(f"{found!r} must be a subclass of {self.base.__name__}.")
        names = self._names(found)
        if not names:
            raise TypeError(f"{found.__name__}.{self.key} must be a Literal of its name, as in Literal['mine'].")
        for name in names:
            if self._by_name.get(name, found) is not found:
                taken = self._by_name[name].__name__
                raise ValueError(f"{self.key} {name!r} is already used by {taken}; choose another name.")
        self._changed(self._by_name | dict.fromkeys(names, found))
        return found

    def unregister(self, found: type[C]) -> None:
        """Remove a registered class."""
        self._changed({name: other for name, other in self._by_name.items() if other is not found})

    @contextmanager
    def registered(self, found: type[C]) -> Iterator[type[C]]:
        """Register `found` inside the `with` block."""
        self.register(found)
        try:
            yield found
        finally:
            self.unregister(found)

    def classes(self) -> tuple[type[C], ...]:
        """Return all classes, including those from entry points."""
        load_entry_points()
        return tuple(dict.fromkeys(self._by_name.values()))

    def words(self) -> tuple[str, ...]:
        """Return all names that sweep files may use."""
        load_entry_points()
        return tuple(self._by_name)

    def named(self, name: str) -> type[C] | None:
        """Return the class with a name; `None` if the name is unknown."""
        return self._by_name[name] if name in self.words() else None

    def validate(self, value: object) -> C:
        """Validate `value` as the class that it names."""
        name = value.get(self.key) if isinstance(value, dict) else getattr(value, self.key, None)
        if name not in self._by_name:
            load_entry_points()
        return self.union().validate_python(value)

    def union(self) -> TypeAdapter[C]:
        """Return the discriminated union of the classes."""
        if self._union is None:
            kinds: Any = Union[tuple(dict.fromkeys(self._by_name.values()))]  # noqa: UP007 - of a tuple
            self._union = TypeAdapter(Annotated[kinds, Field(discriminator=self.key)])
        return self._union

    def _names(self, found: type[C]) -> tuple[str, ...]:
        field = found.model_fields.get(self.key)
        return tuple(name for name in get_args(field.annotation) if isinstance(name, str)) if field else ()

    def _changed(self, by_name: dict[str, type[C]]) -> None:
        self._by_name, self._union = by_name, None
        _State.changes += 1


class _State:
    changes = 0
    loaded = False


def generation() -> int:
    """Return a counter that changes with every change of any registry."""
    load_entry_points()
    return _State.changes


@dataclass(frozen=True)
class OneOf:
    """Mark a field that holds an instance of any registered class."""

    registry: Registry[Any]

    def __get_pydantic_core_schema__(self, _source: object, _handler: "GetCoreSchemaHandler") -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.registry.validate)

    def __get_pydantic_json_schema__(
        self, _schema: core_schema.CoreSchema, handler: "GetJsonSchemaHandler"
    ) -> "JsonSchemaValue":
        load_entry_points()
        return handler(self.registry.union().core_schema)


@dataclass(frozen=True, eq=False)
class OneWord:
    """Mark a text field that holds one of the words known at that time."""

    known: Collection[str]

    def words(self) -> tuple[str, ...]:
        """Return all words, including those from entry points."""
        load_entry_points()
        return tuple(self.known)

    def __get_pydantic_core_schema__(self, _source: object, _handler: "GetCoreSchemaHandler") -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate)

    def _validate(self, value: object) -> str:
        if value not in self.known:
            load_entry_points()
        return _literal(tuple(self.known)).validate_python(value)

    def __get_pydantic_json_schema__(
        self, _schema: core_schema.CoreSchema, handler: "GetJsonSchemaHandler"
    ) -> "JsonSchemaValue":
        return handler(_literal(self.words()).core_schema)


@cache
def _literal(words: tuple[str, ...]) -> TypeAdapter[str]:
    vocabulary: Any = Literal[words]
    return TypeAdapter(vocabulary)


def load_entry_points() -> None:
    """Load the classes of other packages, once. An entry point that fails is logged and skipped."""
    if _State.loaded:
        return
    _State.loaded = True  # set first: a loaded module may itself request names
    for entry in entry_points(group=GROUP):
        try:
            found = entry.load()
            if isinstance(found, FunctionType):
                found()
        except Exception as error:  # noqa: BLE001 - code of other packages may raise anything
            _log.warning("%s", _cannot_load(entry, error))


def _cannot_load(entry: EntryPoint, error: Exception) -> str:
    whose = f" of {entry.dist.name}" if entry.dist else ""
    reason = " ".join(str(error).split())
    return (
        f"the entry point {entry.name} = {entry.value}{whose} ({GROUP}) failed to load and is skipped: "
        f"{type(error).__name__}: {reason}; fix or uninstall that package."
    )
