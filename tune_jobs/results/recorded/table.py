"""A table of recorded runs: the configuration of each run, and its metrics at each epoch.

Shapes: R runs, E epochs of the longest run.
"""

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from search_spaces import TrialConfig
from search_spaces.domains import Scalar
from search_spaces.plurals import plural
from search_spaces.reading.likeness import nearest
from tune_jobs.errors import UsageError

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

STANDS_FOR = {"val/accuracy": "test/accuracy", "val/loss": "test/loss"}
"""The metric that replaces another one if a table lacks it."""


@dataclass(frozen=True)
class RecordedRun:
    """One run: its name, its parameters as recorded, and the matching configuration of ours."""

    id: str
    params: Mapping[str, Scalar]
    config: TrialConfig | None
    why_none: str | None = None
    """Why no configuration of ours matches it."""

    diverged: bool = False
    """Whether it ended after its last epoch because a value was not finite."""


@dataclass(frozen=True)
class RecordedTable:
    """Runs and their curves. The methods return smaller tables that list the dropped runs."""

    name: str
    about: str
    """The source of the runs, in one line."""

    runs: tuple[RecordedRun, ...]
    curves: Mapping[str, Array]
    """By metric, `(R, E)`; accuracies are fractions. NaN beyond a run's end."""

    lengths: Counts
    """Epochs of each run, `(R,)`."""

    seconds: Array | None = None
    """Duration of each epoch, `(R, E)`; `None` if not recorded."""

    dropped: Mapping[str, int] = field(default_factory=dict)
    """Number of runs that are left out, by reason."""

    notes: Sequence[str] = ()
    """Caveats for simulations with the table."""

    def metric(self, asked: str) -> str:
        """Return the metric to use for `asked`: itself, or the one that replaces it.

        Raises:
            UsageError: If the table has neither.
        """
        for name in (asked, STANDS_FOR.get(asked)):
            if name in self.curves:
                assert name is not None
                return name
        raise UsageError(f"{self.name} has no metric {asked!r}; it has: {', '.join(sorted(self.curves)) or 'none'}.")

    def of_metric(self, asked: str) -> "RecordedTable":
        """Return the runs that have a value of the metric, or of its replacement, at each of their epochs.

        Raises:
            UsageError: If no run has.
        """
        name = self.metric(asked)
        there = np.isfinite(self.curves[name]).sum(axis=1) >= self.lengths
        mask = [bool(whole) or run.diverged for run, whole in zip(self.runs, there, strict=True)]
        if not any(mask):
            raise UsageError(f"no run of {self.name} has a value of {name!r} at each of its epochs.")
        return self if all(mask) else self.keep(mask, [f"without {name}"] * mask.count(False))

    def keep(self, kept: Sequence[bool] | NDArray[np.bool_], why: Iterable[str] = ()) -> "RecordedTable":
        """Return the runs of this mask; `why` gives the reason for each run that is left out."""
        mask = np.asarray(kept, bool)
        return replace(
            self,
            runs=tuple(run for run, there in zip(self.runs, mask, strict=True) if there),
            curves={name: curve[mask] for name, curve in self.curves.items()},
            lengths=self.lengths[mask],
            seconds=None if self.seconds is None else self.seconds[mask],
            dropped=dict(Counter(self.dropped) + Counter(why)),
        )

    def where(self, conditions: Sequence[str]) -> "RecordedTable":
        """Return the runs whose parameters have the given values, such as `data.name=cifar100`.

        Raises:
            UsageError: If a parameter does not exist, or no run has the value.
        """
        found = self
        known = sorted({name for run in self.runs for name in run.params})
        for condition in conditions:
            name, equals, text = condition.partition("=")
            if not equals or name not in known:
                meant = [path for path in known if path == f"{name}.name" or path.endswith(f".{name}")]
                way = f"did you mean {' or '.join(meant)}?" if meant else nearest(name, known)
                raise UsageError(
                    f"--where must be PARAMETER=VALUE with a parameter of the table, got {condition!r}; {way}"
                )
            mask = [name in run.params and _is_written(run.params[name], text) for run in found.runs]
            if not any(mask):
                values = sorted({_written(run.params[name]) for run in found.runs if name in run.params})
                shown = ", ".join(values[:_SHOWN]) + (", ..." if len(values) > _SHOWN else "")
                raise UsageError(f"--where {condition}: no run has that value; use one of: {shown or 'none'}.")
            found = found.keep(mask)
        return found

    def of_epochs(self, epochs: int) -> "RecordedTable":
        """Return the runs of at least this many epochs, cut to that length.

        Raises:
            UsageError: If no run is long enough.
        """
        mask = np.array(
            [run.diverged or length >= epochs for run, length in zip(self.runs, self.lengths, strict=True)], bool
        )
        if not mask.any():
            longest = int(max(self.lengths, default=0))
            raise UsageError(
                f"no run of {self.name} has {plural(epochs, 'epoch')}; the longest has {longest}; use --epochs "
                f"{longest}."
            )
        found = self.keep(mask, [f"shorter than {plural(epochs, 'epoch')}"] * int((~mask).sum()))
        return replace(
            found,
            curves={name: curve[:, :epochs] for name, curve in found.curves.items()},
            lengths=np.minimum(found.lengths, epochs),
            seconds=None if found.seconds is None else found.seconds[:, :epochs],
        )

    @property
    def usual_epochs(self) -> int:
        """The most common length of the runs; ties go to the longest."""
        counts = Counter(int(length) for length in self.lengths)
        return max(counts, key=lambda length: (counts[length], length), default=0)

    def described(self) -> "Described":
        """Return a description for programs."""
        return Described(self.name, self.about, len(self.runs), dict(self.dropped))


@dataclass(frozen=True)
class Described:
    """A description of a table of recorded runs, and how many runs were left out, by reason."""

    name: str
    about: str
    runs: int
    dropped: dict[str, int]


_SHOWN = 20


def _written(value: Scalar) -> str:
    """Return a value as a sweep file has it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _is_written(value: Scalar, text: str) -> bool:
    """Whether a text means this value: `1e-3` is 0.001."""
    if isinstance(value, float | int) and not isinstance(value, bool):
        with contextlib.suppress(ValueError):
            return float(text) == value
    return _written(value) == text


def stacked(curves: Sequence[Sequence[float]] | Sequence[Array]) -> Array:
    """Return curves of unequal length as `(R, E)`, with NaN beyond their ends."""
    lengths = [len(curve) for curve in curves]
    found = np.full((len(lengths), max(lengths, default=0)), np.nan)
    for number, curve in enumerate(curves):
        found[number, : lengths[number]] = curve
    return found
