"""Common parts of a configuration and the module that it describes: options, defaults, words."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import BaseModel

from search_spaces.reading.fields import literals_of


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the options of a function that have a default."""
    options = inspect.signature(function).parameters.values()
    return {option.name: option.default for option in options if option.default is not option.empty}


def words(config: type[BaseModel], *fields: str) -> dict[str, list[Any]]:
    """Return the words that these fields accept."""
    return {field: literals_of(config.model_fields[field]) for field in fields}


def arguments_of(configs: Iterable[Any]) -> set[str]:
    """Return the arguments that any of these configurations passes."""
    return {name for config in configs for name in config.arguments()}
