"""What a check finds: a line, with what mends it. For `convnn doctor` and `submit`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from convnn.data import Split


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    check: str
    ok: bool
    says: str
    mend: str | None = None
    """The command, or the change, that mends it."""

    def as_dict(self) -> dict[str, Any]:
        """For programs: stable keys."""
        return asdict(self)

    def __str__(self) -> str:
        """One line."""
        return (
            f"{'ok  ' if self.ok else 'FAIL'} {self.check:9} {self.says}{f'; mend: {self.mend}' if self.mend else ''}"
        )


def digests_shown(digests: Mapping[Split, str]) -> str:
    """The digests of a data set's splits, in short."""
    return ", ".join(f"digest of {split} {digest[:12]}" for split, digest in digests.items())
