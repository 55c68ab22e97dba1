"""What a trial was trained in and what it is replayed in: what differs, and what nobody has recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search_spaces.plurals import plural
from tune_jobs.record.environment import Environment, facts
from tune_jobs.record.rows import Attempt
from tune_jobs.results.words import iso_time
from tune_jobs.system.packages import DISTRIBUTION

CPU = "cpu"

NAMES = {
    "device": "device",
    "threads": "threads",
    "cpu": "CPU model",
    "instructions": "vector instructions",
    "code": "code that trains",
    "numbers": "version of the numbers",
}
"""What people call a fact; a package by its own name."""

_NONE = "none"
"""Instead of a version, where a package is not installed."""

_CHANGED = (
    "Numbers changed once, between 0.1.0 and 0.2.0: what 0.1.0 trained has other last digits now, and evaluation no "
    "longer takes random candidates from the draws of training."
)
_GPU = (
    "It was trained on a GPU ({device}), which sums in another order each time: not expected to be equal bit for bit."
)
_NO_GPU = "It was trained on a GPU ({device}), and is replayed on the CPU: not expected to be equal bit for bit."


@dataclass(frozen=True)
class Difference:
    """A fact that is not as it was recorded."""

    what: str
    recorded: str
    here: str
    attempts: list[int]
    """Those that recorded it so."""

    def __str__(self) -> str:
        return f"{self.what}: {self.recorded} {_of(self.attempts)}, {self.here} here"


@dataclass(frozen=True)
class Expectation:
    """What is known beforehand of how near a replay should come."""

    differences: list[Difference]
    assumed: list[str]
    """Facts that some attempt has not recorded, and that are taken to be as they are here."""

    notes: list[str]
    on_cpu: bool

    @property
    def bit_equal(self) -> bool:
        """Whether the replay should be equal bit for bit."""
        return self.on_cpu and not self.differences and not self.assumed


def threads_of(attempts: Sequence[Attempt], otherwise: int) -> int:
    """The CPU threads of the first of these attempts: recorded, else those that it asked for."""
    first = attempts[0]
    return first.environment.threads if first.environment else int(first.cpus) or otherwise


def trained_on(attempt: Attempt) -> str:
    """`cpu`, or the GPU's name, as far as it was recorded."""
    return attempt.device or ("a GPU" if attempt.gpus else CPU)


def expectation(
    attempts: Sequence[Attempt], starts: Sequence[Mapping[str, Any]], here: Environment, device: str
) -> Expectation:
    """What is to be expected of a replay.

    Args:
        attempts: Those whose epochs are compared.
        starts: The sweep's starts, as its manifest has them: what is known of attempts before environments were
            recorded.
        here: In what the replay trains.
        device: On what.
    """
    now = {**facts(here), "device": device}
    seen: dict[tuple[str, str], list[int]] = {}
    unknown: dict[str, str] = {}
    for attempt in attempts:
        known = _known(attempt, starts)
        for name in known.keys() | (now.keys() if attempt.environment else ()):
            value = str(known.get(name, _NONE))
            if value not in _names_of(now.get(name, _NONE)):
                seen.setdefault((name, value), []).append(attempt.attempt)
        unknown |= {name: f"{NAMES[name]} ({now[name]})" for name in NAMES if name not in known}
    differences = [
        Difference(NAMES.get(name, name), value, str(now.get(name, _NONE)), numbers)
        for (name, value), numbers in sorted(seen.items())
    ]
    gpu = next((trained_on(attempt) for attempt in attempts if trained_on(attempt) != CPU), None)
    notes = [] if gpu is None else [(_NO_GPU if device == CPU else _GPU).format(device=gpu)]
    if any(name == "numbers" and value == "1" for name, value in seen):
        notes.append(_CHANGED)
    return Expectation(differences, list(unknown.values()), notes, gpu is None)


def _names_of(value: object) -> set[str]:
    """A value; a package's version also without its build, which manifests leave out."""
    return {str(value), str(value).partition("+")[0]}


def _known(attempt: Attempt, starts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What was recorded of an attempt, by fact."""
    device = {"device": trained_on(attempt)}
    if attempt.environment is not None:
        return {**facts(attempt.environment), **device}
    packages = _start_of(attempt, starts).get("packages")
    if not isinstance(packages, dict):
        return device
    versions = {name: packages[name] for name in (DISTRIBUTION, "torch", "numpy") if name in packages}
    first = str(versions.get(DISTRIBUTION, "")).startswith("0.1.")
    return {**versions, **device, **({"numbers": 1} if first else {})}


def _start_of(attempt: Attempt, starts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The start of the sweep in which an attempt ran: the last one before it."""
    begun = iso_time(attempt.started) or ""
    return next((start for start in reversed(starts) if str(start.get("at", "")) <= begun), {})


def _of(attempts: Sequence[int]) -> str:
    numbers = ", ".join(map(str, attempts))
    return f"in {'attempt' if len(attempts) == 1 else 'attempts'} {numbers}"


def summed_up(found: Environment) -> str:
    """The environment in a line."""
    return f"{plural(found.threads, 'thread')}, {found.cpu}, torch {found.packages.get('torch')}"
