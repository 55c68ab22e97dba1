"""How tests read the faults that the checks of a kind report."""

from contextlib import AbstractContextManager

from tune_jobs.conformance.check import properties_of
from tune_jobs.conformance.kinds import Subject
from tune_jobs.conformance.outcome import checked


def faults(subject: Subject, registered: AbstractContextManager[object], only: str | None = None) -> dict[str, str]:
    """Return the properties that do not hold, with their messages, while the kind is `registered`."""
    with registered:
        asked = [each for each in properties_of(subject) if only in (None, each[0])]
        assert asked
        return {each.property: each.says for each in checked(asked) if not each.ok}


def assert_reported(subject: Subject, registered: AbstractContextManager[object], broken: str, message: str) -> None:
    """Check that one line about the property `broken` contains the message."""
    found = faults(subject, registered, broken)
    assert message in found[broken]
    assert "\n" not in found[broken]
