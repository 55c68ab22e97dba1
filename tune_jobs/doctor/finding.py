"""The result of a check, with its fix, for `convnn doctor` and `submit`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from convnn.data import Split


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    check: str
    ok: bool
    says: str
    fix: str | None = None
    """The command or the change that fixes it."""

    def as_dict(self) -> dict[str, Any]:
        """Return a dict with stable keys."""
        return asdict(self)

    def __str__(self) -> str:
        """Return one line."""
        return f"{'ok  ' if self.ok else 'FAIL'} {self.check:9} {self.says}{f'; fix: {self.fix}' if self.fix else ''}"


def digests_shown(digests: Mapping[Split, str]) -> str:
    """Return the shortened digests of a data set's splits."""
    return ", ".join(f"digest of {split} {digest[:12]}" for split, digest in digests.items())
