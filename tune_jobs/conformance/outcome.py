"""What was found of a kind, property by property."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

LONGEST = 500
"""Characters of an error that are shown."""


class Broken(Exception):  # noqa: N818 - of a property
    """A property that does not hold: what was expected, and what was found."""


@dataclass(frozen=True)
class Checked:
    """One property of a kind."""

    property: str
    ok: bool
    says: str = ""
    """What was looked at; or what is wrong."""


@dataclass(frozen=True)
class CheckedKind:
    """One kind, and its properties."""

    group: str
    name: str
    package: str | None
    """The distribution that adds it; null for ours."""

    version: str | None
    digest: str | None
    """Of that distribution's files."""

    config_version: int | None
    properties: list[Checked]

    @property
    def ok(self) -> bool:
        """Whether every property holds."""
        return all(found.ok for found in self.properties)


@dataclass(frozen=True)
class CheckedPlugin:
    """What `convnn check-plugin` has found."""

    ok: bool
    kinds: list[CheckedKind]

    def as_dict(self) -> dict[str, Any]:
        """For programs: stable keys."""
        return asdict(self)


Property = tuple[str, Callable[[], str]]
"""What holds, and what finds out; gives what was looked at, or raises."""


def checked(properties: list[Property]) -> Iterator[Checked]:
    """Each of these, whatever the code of others raises."""
    for name, look in properties:
        try:
            yield Checked(name, ok=True, says=look())
        except Broken as error:
            yield Checked(name, ok=False, says=str(error))
        except Exception as error:  # noqa: BLE001 - whatever the code of others raises
            yield Checked(name, ok=False, says=said(error))


def said(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:LONGEST] if text else type(error).__name__


def require(holds: object, wrong: str) -> None:
    """Raise if it does not hold.

    Raises:
        Broken: With what is wrong.
    """
    if not holds:
        raise Broken(wrong)
