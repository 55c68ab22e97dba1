"""What an attempt's numbers depend on besides its configuration and images: threads, CPU, packages, code."""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from pydantic import TypeAdapter


@dataclass(frozen=True)
class Environment:
    """In what an attempt trained. On the CPU, the same environment gives the same numbers bit for bit."""

    threads: int
    """CPU threads of torch."""

    cpu: str
    """The CPU's model."""

    instructions: str
    """The widest vector instructions that torch uses there, as in AVX2."""

    packages: dict[str, str]
    """Versions of those that compute."""

    code: str
    """A digest of the code that trains."""

    numbers: int
    """The version of training's digits; see `convnn.training.STATE_VERSION`."""


_ENVIRONMENT = TypeAdapter(Environment)


def encode(found: Environment | None) -> str | None:
    """As JSON."""
    return None if found is None else json.dumps(asdict(found))


def decode(text: str | None) -> Environment | None:
    """From JSON; of a later program's, what this one knows.

    Raises:
        ValueError: If it is something else.
    """
    return None if text is None else _ENVIRONMENT.validate_json(text)


def facts(found: Environment) -> dict[str, Any]:
    """One by one, packages among the others."""
    named = {field.name: getattr(found, field.name) for field in fields(found) if field.name != "packages"}
    return {**named, **found.packages}
