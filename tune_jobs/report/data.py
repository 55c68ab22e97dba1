"""What a report says, read from a sweep's folder once."""

import os
import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Any

from search_spaces import SpecError, SweepSpec
from tune_jobs.errors import SweepError
from tune_jobs.planning.ladder import Rung, epochs_of, is_predictable, ladder_of, trial_epochs_of
from tune_jobs.record.folder import SweepFolder, recorded_spec
from tune_jobs.record.lease import live_driver
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.manifest import recorded_starts
from tune_jobs.record.requests import excluded, to_stop
from tune_jobs.record.rows import Ask, Attempt, Champion, Epoch
from tune_jobs.report.effects import Effects, effects_of
from tune_jobs.report.more import MoreTrials, more_trials
from tune_jobs.report.sizes import Size, sizes_of
from tune_jobs.results.history import curves
from tune_jobs.results.row import Row
from tune_jobs.results.seeds import Configuration, Repeats
from tune_jobs.results.summary import Summary, state_of, summary
from tune_jobs.results.words import champion_said
from tune_jobs.search.risk import Risk, risk_of


@dataclass(frozen=True)
class ReportData:
    """Everything a report draws on."""

    folder: SweepFolder
    summary: Summary
    state: str
    started: str | None
    asks: list[Ask]
    attempts: list[Attempt]
    epochs: list[Epoch]
    """All that were recorded."""

    curves: dict[str, list[Epoch]]
    """By run key: the epochs that count, in order, each from the last attempt that ran it."""

    sizes: dict[str, Size]
    """By run key, as far as known."""

    spec: SweepSpec | None
    """`None` where the file as run cannot be read."""

    ladder: list[Rung]
    """Where the stopping rule looks, and about how many trials were planned to go on."""

    planned_epochs: int | None
    at_most: bool
    """Whether no more is known of the planned epochs than that there are no more."""

    risk: Risk | None
    """What the stopping rule may have cost; `None` where it has stopped nothing."""

    starts: list[dict[str, Any]]
    """Every start of the sweep, from its manifest."""

    more: MoreTrials
    """What more trials would bring."""

    champion: Champion | None = None
    """What its confirmation supports."""

    openings: int = 0
    """How often the test set was opened to confirm."""

    @property
    def confirmed(self) -> str | None:
        """What a confirmation came to, in sentences."""
        if self.champion is None:
            return None
        times = "once" if self.openings == 1 else f"{self.openings} times"
        said = champion_said(self.champion)
        return f"Confirmed champion: {said}. {self.champion.why} The test set was opened {times} for this."

    @property
    def comparable(self) -> list[Row]:
        """The trials whose values may be compared, the best first."""
        return [row for row in self.summary.rows if row.counts]

    @cached_property
    def effects(self) -> Effects:
        """What each value of the fields that vary came to."""
        seconds = {
            key: [epoch.metrics["epoch_s"] for epoch in curve if "epoch_s" in epoch.metrics]
            for key, curve in self.curves.items()
        }
        return effects_of(self.summary, {key: median(each) for key, each in seconds.items() if each})

    @property
    def repeats(self) -> list[Repeats]:
        """The configurations that ran with several seeds, the best first."""
        return self.summary.seeds

    @cached_property
    def configurations(self) -> dict[str, Configuration]:
        """By run key of each trial, where configurations with several seeds are compared."""
        if not self.summary.by_configuration:
            return {}
        return {row.run_key: each for each in self.summary.configurations for row in each.rows}


def read_data(folder: SweepFolder, measure_s: float, say: Callable[[str], None]) -> ReportData:
    """Read a sweep; models whose size is not recorded are measured for at most about `measure_s` seconds.

    Raises:
        LedgerError: If the record cannot be read.
    """
    with closing(Ledger(folder.ledger)) as ledger:
        found = summary(folder.name, ledger)
        epochs = ledger.epochs()
        attempts, asks = ledger.attempts(), ledger.asks()
        trials, left_out = ledger.trials(), excluded(ledger.requests())
        started = ledger.meta.started
        by_hand = to_stop(ledger.requests())
        champion, openings = ledger.meta.champion, len(ledger.meta.confirmations)
    known = {row.run_key for row in found.rows}  # a sweep that runs may have recorded more in the meantime
    curve_of = curves(epoch for epoch in epochs if epoch.run_key in known)
    spec = _spec(folder)
    planned = found.planned or len(found.configurations)
    ladder = ladder_of(spec, planned, epochs_of(spec)) if spec else []
    return ReportData(
        folder=folder,
        summary=found,
        state=_state(folder, found),
        started=started,
        asks=asks,
        attempts=[attempt for attempt in attempts if attempt.run_key in known],
        epochs=[epoch for epoch in epochs if epoch.run_key in known],
        curves=curve_of,
        sizes=sizes_of(found.rows, curve_of, measure_s, say),
        spec=spec,
        ladder=ladder,
        planned_epochs=trial_epochs_of(ladder, planned, epochs_of(spec), found.repeats) if spec else None,
        at_most=spec is not None and not is_predictable(spec),
        risk=risk_of(spec, trials, lambda: epochs, left_out) if spec else None,
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
