"""What an attempt's numbers depend on besides its configuration and images: threads, CPU, packages, code."""

import json
from dataclasses import asdict, dataclass, field, fields
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

    plugins: dict[str, str] = field(default_factory=dict)
    """The digest of the code of each plugin that it trains with."""


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
    """One by one, packages and plugins among the others."""
    named = {each.name: getattr(found, each.name) for each in fields(found) if each.name not in ("packages", "plugins")}
    return {**named, **found.packages, **{f"code of {name}": digest for name, digest in found.plugins.items()}}
