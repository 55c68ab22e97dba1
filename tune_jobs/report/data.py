"""Everything a report uses, read once from a sweep's folder."""

import os
import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from search_spaces import SpecError, SweepSpec
from search_spaces.domains import Domain
from tune_jobs.errors import SweepError
from tune_jobs.planning.ladder import Rung, epochs_of, is_predictable, ladder_of, trial_epochs_of
from tune_jobs.record.folder import SweepFolder, recorded_spec
from tune_jobs.record.lease import live_driver
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.manifest import recorded_starts
from tune_jobs.record.requests import excluded, to_stop
from tune_jobs.record.rows import Attempt, Champion
from tune_jobs.report.axes import declared
from tune_jobs.report.effects import Effects, effects_of
from tune_jobs.report.epochs import Epochs, read_epochs
from tune_jobs.report.more import MoreTrials, more_trials
from tune_jobs.report.points import Points, points_of
from tune_jobs.report.sizes import Size, sizes_of
from tune_jobs.results.row import Row
from tune_jobs.results.seeds import Configuration, Repeats
from tune_jobs.results.summary import Summary, state_of, summary
from tune_jobs.results.words import champion_said
from tune_jobs.search.risk import Risk, risk_of


@dataclass(frozen=True)
class ReportData:
    """Everything a report uses."""

    folder: SweepFolder
    summary: Summary
    state: str
    started: str | None
    attempts: list[Attempt]
    epochs: Epochs

    sizes: dict[str, Size]
    """By run key, if known."""

    spec: SweepSpec | None
    """`None` if the recorded file cannot be read."""

    ladder: list[Rung]
    """The epochs at which the stopping rule decides, and how many trials were planned to continue there."""

    planned_epochs: int | None
    at_most: bool
    """Whether the number of planned epochs is only an upper bound."""

    risk: Risk | None
    """The estimated loss due to the stopping rule; `None` if it has not stopped any trial."""

    starts: list[dict[str, Any]]
    """Every start of the sweep, from its manifest."""

    more: MoreTrials
    """The expected gain from more trials."""

    champion: Champion | None = None
    """The champion that a confirmation supports."""

    openings: int = 0
    """How often the test set was opened for a confirmation."""

    @property
    def confirmed(self) -> str | None:
        """The result of a confirmation, in sentences."""
        if self.champion is None:
            return None
        times = "once" if self.openings == 1 else f"{self.openings} times"
        said = champion_said(self.champion)
        return f"Confirmed champion: {said}. {self.champion.why} The test set was opened {times} for this."

    @property
    def comparable(self) -> list[Row]:
        """The trials with comparable values, the best first."""
        return [row for row in self.summary.rows if row.counts]

    @cached_property
    def declared(self) -> dict[str, Domain]:
        """The domain of each field in the space; empty if the file cannot be read."""
        return declared(self.spec.space.root) if self.spec is not None else {}

    @cached_property
    def points(self) -> Points:
        """The configurations that plots compare."""
        return points_of(self.summary)

    @cached_property
    def effects(self) -> Effects:
        """The results of each value of the fields that vary."""
        return effects_of(self.summary, self.epochs.epoch_s)

    @property
    def repeats(self) -> list[Repeats]:
        """The configurations that ran with several seeds, the best first."""
        return self.summary.seeds

    @cached_property
    def configurations(self) -> dict[str, Configuration]:
        """Each trial's configuration by run key; empty unless configurations with several seeds are compared."""
        if not self.summary.by_configuration:
            return {}
        return {row.run_key: each for each in self.summary.configurations for row in each.rows}


def read_data(folder: SweepFolder, measure_s: float, say: Callable[[str], None]) -> ReportData:
    """Read a sweep; measure models of unrecorded size for about `measure_s` seconds at most.

    Raises:
        LedgerError: If the record cannot be read.
    """
    spec = _spec(folder)
    with closing(Ledger(folder.ledger)) as ledger:
        found = summary(folder.name, ledger)
        known = [row.run_key for row in found.rows]  # a running sweep may record more in the meantime
        epochs = read_epochs(ledger, known, found.metric)
        attempts = ledger.attempts()
        left_out, by_hand = excluded(ledger.requests()), to_stop(ledger.requests())
        stopped = any(row.state == "stopped" for row in found.rows)
        risk = risk_of(spec, ledger.trials(), ledger.epochs, left_out) if spec and stopped else None
        started = ledger.meta.started
        champion, openings = ledger.meta.champion, len(ledger.meta.confirmations)
    planned = found.planned or len(found.configurations)
    ladder = ladder_of(spec, planned, epochs_of(spec)) if spec else []
    trials = set(known)
    return ReportData(
        folder=folder,
        summary=found,
        state=_state(folder, found),
        started=started,
        attempts=[attempt for attempt in attempts if attempt.run_key in trials],
        epochs=epochs,
        sizes=sizes_of(found.rows, epochs.sizes, measure_s, say),
        spec=spec,
        ladder=ladder,
        planned_epochs=trial_epochs_of(ladder, planned, epochs_of(spec), found.repeats) if spec else None,
        at_most=spec is not None and not is_predictable(spec),
        risk=risk,
        starts=recorded_starts(folder),
        more=more_trials(found, spec, by_hand),
        champion=champion,
        openings=openings,
    )


def _spec(folder: SweepFolder) -> SweepSpec | None:
    try:
        return recorded_spec(folder)
    except (SpecError, SweepError):
        return None


def _state(folder: SweepFolder, found: Summary) -> str:
    driver = live_driver(folder.path)
    at_its_end = driver is not None and (driver["host"], driver["pid"]) == (socket.gethostname(), os.getpid())
    if driver is not None and not at_its_end:
        return "running"
    return state_of(found, running=False)
