"""Reasons to stop a run before all its trials: a signal, the budget, a full disk, too many failures, `enough`.

At a stop no new trial starts, running trials save a checkpoint after their epoch if time allows, and the sweep can be
resumed.
"""

import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from search_spaces import SweepSpec
from search_spaces.settings import HOURS
from tune_jobs.errors import ExitCode
from tune_jobs.failures import counted
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.requests import excluded
from tune_jobs.record.rows import ENOUGH, Usage
from tune_jobs.results.words import gain
from tune_jobs.search.base import Judgement
from tune_jobs.search.samplers.leftover import DRAWS

RESUME = "resume"
FEWEST_ENDED = 5
"""`stopping.max_failed_fraction` is checked only once this many trials have ended."""

Cause = Literal["signal", "budget", "disk", "failures", "space", "enough"]


@dataclass(frozen=True)
class Halt:
    """Why a run stopped early, and how to continue."""

    cause: Cause
    message: str
    signal: int | None = None
    patient: bool = False
    """Whether the driver waits for running epochs however long they take."""

    @property
    def exit_code(self) -> int:
        """The exit code of the command; 128 plus the number of a signal."""
        if self.signal is not None:
            return 128 + self.signal
        return {ENOUGH: ExitCode.DONE, "budget": ExitCode.BUDGET}.get(self.cause, ExitCode.FAILED)


def halt_for_limits(
    spec: SweepSpec, folder: SweepFolder, ledger: Ledger, *, failures: bool = True, verb: str = RESUME
) -> Halt | None:
    """Return the limit that the sweep has reached, or a request to pause it.

    `failures` also checks the limit of failed trials. `budget.trials` is not checked here, but by the search. `verb` is
    the command that resumes.
    """
    limit = halt_for_budget(spec, ledger.usage(), verb) or _disk(spec, folder.path, verb)
    return limit or (_failures(spec, ledger) if failures else None) or _pause_request(folder)


def budget_of_trials(spec: SweepSpec, verb: str = RESUME) -> Halt:
    """Return the stop reason of a search that has used up `budget.trials`."""
    most = spec.budget.trials or 0
    return Halt("budget", f"the budget of {most} trials is used up; {_more(spec, 'trials', 2 * most, verb)}")


def none_found(spec: SweepSpec) -> Halt:
    """Return the stop reason of a search that finds no valid new configuration."""
    return Halt(
        "space",
        f"none of {DRAWS:,} configurations drawn from the space is valid and new; loosen its constraints and run it "
        f"under another name, or keep searching: convnn resume {spec.name}",
    )


def found_enough(spec: SweepSpec, found: Judgement) -> Halt:
    """Return the stop reason of a search that `stopping.enough` ends."""
    margin, metric = gain(found.within, spec.metric), spec.metric
    return Halt(
        "enough",
        f"Enough: the chance that one of the {found.left} remaining trials beats the best by more than {margin} of "
        f"{metric} is at most {found.chance:.1%}, and stopping.enough allows {100 * (1 - found.confidence):.3g}%. "
        f"{found.complete} of {found.tried} trials so far are complete, {found.near} of them within {margin} of the "
        f"best. To continue anyway: "
        f"convnn resume {spec.name} --set stopping.enough=null",
    )


def _more(spec: SweepSpec, field: str, value: float, verb: str) -> str:
    return f"to continue with a larger budget: convnn {verb} {spec.name} --set budget.{field}={value:g}"


def halt_for_budget(spec: SweepSpec, used: Usage, verb: str = RESUME) -> Halt | None:
    """Return the limit in hours that has been reached, if any."""
    for field, unit in HOURS.items():
        limit, spent = getattr(spec.budget, field), getattr(used, field)
        if limit is not None and spent >= limit:
            more = _more(spec, field, 2 * limit, verb)
            used_up = f"the budget is used up: {spent:.3g} of {limit:g} {unit.removesuffix(' of running')}; {more}"
            return Halt("budget", used_up, patient=True)
    return None


def _disk(spec: SweepSpec, folder: Path, verb: str) -> Halt | None:
    least = spec.resources.min_free_gb
    try:
        free = shutil.disk_usage(folder).free / 1e9
    except OSError:  # network storage that does not answer at the moment
        return None
    if free >= least:
        return None
    return Halt(
        "disk",
        f"only {free:.2f} GB are free in {folder}, and resources.min_free_gb is {least:g}; free space there, or lower "
        f"that setting, then: convnn {verb} {spec.name}",
    )


def _pause_request(folder: SweepFolder) -> Halt | None:
    try:
        if not folder.pause_file.exists():
            return None
    except OSError:
        return None
    return Halt("signal", "paused by `convnn stop --pause`", signal.SIGTERM, patient=True)


def _failures(spec: SweepSpec, ledger: Ledger) -> Halt | None:
    ended, failed = ledger.ended_and_failed()
    most = spec.stopping.max_failed_fraction
    if ended < FEWEST_ENDED or failed <= most * ended:
        return None
    return Halt(
        "failures",
        f"{failed} of {ended} ended trials failed ({by_class(ledger)}), more than stopping.max_failed_fraction "
        f"{most:g}; fix the cause, then: convnn retry {spec.name} --failed",
    )


def by_class(ledger: Ledger) -> str:
    """Return how many trials failed, by class, without excluded trials: `3 oom, 1 data`."""
    left_out = excluded(ledger.requests())
    failures = (failure for key, failure in ledger.failures().items() if key not in left_out)
    return ", ".join(f"{count} {name}" for name, count in counted(failures).items())
