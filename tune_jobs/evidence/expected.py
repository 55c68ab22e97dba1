"""Compares the environment of a trial's training with that of its replay: what differs, and what was not recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
    "code": "training code",
    "numbers": "version of the numerics",
}
"""The names of facts for people; a package has its own name."""

_NONE = "none"
"""Replaces the version of a package that is not installed."""

_CHANGED = (
    "Numbers changed once, between 0.1.0 and 0.2.0: results of 0.1.0 now differ in their last digits, and evaluation "
    "no longer shares the random draws of candidates with training."
)
_GPU = "It was trained on a GPU ({device}), which sums in a different order each time, so equal bits are not expected."
_NO_GPU = "It was trained on a GPU ({device}), and is replayed on the CPU, so equal bits are not expected."


@dataclass(frozen=True)
class Difference:
    """A fact that differs from the record."""

    what: str
    recorded: str
    here: str
    attempts: list[int]
    """The attempts with this recorded value."""

    def __str__(self) -> str:
        return f"{self.what}: {self.recorded} {_of(self.attempts)}, {self.here} here"


@dataclass(frozen=True)
class Expectation:
    """What is known beforehand about how close a replay should come."""

    differences: list[Difference]
    assumed: list[str]
    """Facts that some attempt has not recorded, and that are assumed to be as they are here."""

    notes: list[str]
    on_cpu: bool

    @property
    def bit_equal(self) -> bool:
        """Whether the replay should be equal bit for bit."""
        return self.on_cpu and not self.differences and not self.assumed


def threads_of(attempts: Sequence[Attempt], otherwise: int) -> int:
    """Return the CPU threads of the first of these attempts: the recorded number, or the number it asked for."""
    first = attempts[0]
    return first.environment.threads if first.environment else int(first.cpus) or otherwise


def trained_on(attempt: Attempt) -> str:
    """Return `cpu` or the GPU's name, as far as it was recorded."""
    return attempt.device or ("a GPU" if attempt.gpus else CPU)


def expectation(
    attempts: Sequence[Attempt], starts: Sequence[Mapping[str, Any]], here: Environment, device: str
) -> Expectation:
    """Return what to expect of a replay.

    Args:
        attempts: The attempts whose epochs are compared.
        starts: The sweep's starts in its manifest, for attempts from before environments were recorded.
        here: The environment of the replay.
        device: The device of the replay.
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
    """Return the texts that match a value: itself, and a package's version without its build, as in manifests."""
    return {str(value), str(value).partition("+")[0]}


def _known(attempt: Attempt, starts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the recorded facts about an attempt, by name."""
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
    """Return the start of the sweep in which an attempt ran: the last start before it."""
    begun = iso_time(attempt.started) or ""
    return next((start for start in reversed(starts) if str(start.get("at", "")) <= begun), {})


def _of(attempts: Sequence[int]) -> str:
    numbers = ", ".join(map(str, attempts))
    return f"in {'attempt' if len(attempts) == 1 else 'attempts'} {numbers}"
