"""What an attempt's results depend on besides configuration and images: threads, CPU, packages, code."""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from pydantic import TypeAdapter


@dataclass(frozen=True)
class Environment:
    """The environment of an attempt. On the CPU, the same environment gives the same results bit for bit."""

    threads: int
    """CPU threads of torch."""

    cpu: str
    """The CPU's model."""

    instructions: str
    """The widest vector instructions that torch uses, such as AVX2."""

    packages: dict[str, str]
    """Versions of the packages that affect results."""

    code: str
    """A digest of the training code."""

    numbers: int
    """The version of the training's numerics; see `convnn.training.STATE_VERSION`."""


_ENVIRONMENT = TypeAdapter(Environment)


def encode(found: Environment | None) -> str | None:
    """Return it as JSON."""
    return None if found is None else json.dumps(asdict(found))


def decode(text: str | None) -> Environment | None:
    """Read it from JSON; fields of a later version that this one does not know are ignored.

    Raises:
        ValueError: If the text is not such an environment.
    """
    return None if text is None else _ENVIRONMENT.validate_json(text)


def facts(found: Environment) -> dict[str, Any]:
    """Return all values by name, each package as a separate entry."""
    named = {field.name: getattr(found, field.name) for field in fields(found) if field.name != "packages"}
    return {**named, **found.packages}
