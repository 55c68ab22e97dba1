"""What a check finds: a line, with what mends it. For `convnn doctor` and `submit`."""

from dataclasses import asdict, dataclass
from typing import Any


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
