"""The results of the checks of a kind, property by property."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

LONGEST = 500
"""Maximum length of an error in characters."""


class Broken(Exception):  # noqa: N818 - a property is broken
    """A property does not hold: the rule and the value found."""


@dataclass(frozen=True)
class Checked:
    """The result for one property of a kind."""

    property: str
    ok: bool
    says: str = ""
    """The checked items, or the error."""

    def __str__(self) -> str:
        """Return it as a line for people."""
        return f"{'ok  ' if self.ok else 'FAIL'}  {self.property}{f': {self.says}' if self.says else ''}"


@dataclass(frozen=True)
class CheckedKind:
    """The results for one kind."""

    group: str
    name: str
    package: str | None
    """The distribution that adds it; null for built-in kinds."""

    version: str | None
    digest: str | None
    """The digest of that distribution's files."""

    config_version: int | None
    properties: list[Checked]

    @property
    def ok(self) -> bool:
        """Whether all properties hold."""
        return all(found.ok for found in self.properties)


@dataclass(frozen=True)
class CheckedPlugin:
    """The result of `convnn check-plugin`."""

    ok: bool
    kinds: list[CheckedKind]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data for programs, with stable keys."""
        return asdict(self)


Property = tuple[str, Callable[[], str]]
"""The name of a property, and its check, which returns the checked items or raises."""


def checked(properties: list[Property]) -> Iterator[Checked]:
    """Check each property, whatever the code of a plugin raises."""
    for name, look in properties:
        try:
            yield Checked(name, ok=True, says=look())
        except Broken as error:
            yield Checked(name, ok=False, says=str(error))
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything
            yield Checked(name, ok=False, says=said(error))


def said(error: BaseException) -> str:
    """Return an error in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:LONGEST] if text else type(error).__name__


def require(holds: object, wrong: str) -> None:
    """Raise an error if a condition does not hold.

    Raises:
        Broken: With the message `wrong`.
    """
    if not holds:
        raise Broken(wrong)
