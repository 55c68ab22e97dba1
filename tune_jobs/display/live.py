"""Progress output while a sweep runs: a live table on a terminal, one line per event elsewhere."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, Self

from rich.console import Group, RenderableType
from rich.live import Live

from tune_jobs.display.console import TextConsole
from tune_jobs.display.running import Running, RunningTrial
from tune_jobs.display.startup import Startup
from tune_jobs.display.tables import best_so_far, cost, leaderboard, tally
from tune_jobs.events import Ended, EpochEnded, Event, Resumed, Started, StopAsked
from tune_jobs.results.columns import Column, in_a_line
from tune_jobs.results.summary import Summary
from tune_jobs.results.words import duration, shown
from tune_jobs.system.visible import made_visible

if TYPE_CHECKING:
    from types import TracebackType

HEARTBEAT_S = 60.0
"""Longest time without a line about a running trial."""

LOOK_S = 0.25
"""Interval of the checks whether a line is due."""

_FOLLOWS = {
    "final": "",
    "again": "; will be retried",
    "alone": "; will be retried once, alone",
    "pause": "; the sweep pauses",
}


class Progress(Protocol):
    """Shows what happens; used as a context manager around the run."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None: ...

    def say(self, text: str) -> None:
        """Show a sentence about the sweep."""

    def take(self, event: Event) -> None:
        """Show an event of a trial."""

    def show(self, summary: Callable[[], Summary]) -> None:
        """Show the sweep's current status; `summary` is called only if it is shown."""

    def expect(self, metric: str, columns: Sequence[Column]) -> None:
        """Set the objective, and the columns for the fields that vary."""

    def acknowledge(self, text: str) -> None:
        """Confirm immediately, inside the signal handler, that a signal was received."""


class Steady:
    """Wraps another progress, and goes quiet once output fails: a sweep does not end because its terminal is closed."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._quiet = False

    def __enter__(self) -> Self:
        self._do(self._progress.__enter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        with contextlib.suppress(OSError, SystemExit):
            self._progress.__exit__(kind, error, trace)

    def say(self, text: str) -> None:
        """See `Progress`."""
        self._do(lambda: self._progress.say(text))

    def take(self, event: Event) -> None:
        """See `Progress`."""
        self._do(lambda: self._progress.take(event))

    def show(self, summary: Callable[[], Summary]) -> None:
        """See `Progress`."""
        self._do(lambda: self._progress.show(summary))

    def expect(self, metric: str, columns: Sequence[Column]) -> None:
        """See `Progress`."""
        self._do(lambda: self._progress.expect(metric, columns))

    def acknowledge(self, text: str) -> None:
        """See `Progress`."""
        self._do(lambda: self._progress.acknowledge(text))

    def _do(self, show: Callable[[], object]) -> None:
        if self._quiet:
            return
        try:
            show()
        except (OSError, SystemExit):  # rich raises SystemExit when the reader of a pipe is gone
            self._quiet = True


class LogLines:
    """Prints one line per event, flushed, and the progress of a trial that had no line for a minute.

    Until the first trial trains, a line about every two seconds names the current step of the start.
    """

    def __init__(self, console: TextConsole) -> None:
        self._console = console
        self._running = Running()
        self._startup = Startup()
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._beat, name="convnn-progress", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def say(self, text: str) -> None:
        """Print `text`."""
        self._startup.said(text)
        self._console.print(text, soft_wrap=True)

    def take(self, event: Event) -> None:
        """Print the event, except an epoch shortly after another line about the trial."""
        job = event.job
        trial = self._running.take(event)
        start = self._startup.take(event)
        head = f"trial {job.number}"
        if isinstance(event, Started):
            again = f", attempt {job.attempt}" if job.attempt > 1 else ""
            config = in_a_line(job.config, self._running.columns)
            seed = f", seed {job.config.training.seed}" if job.repeat_of else ""
            self._say(f"{head} started{again}{seed}{f': {config}' if config else ''}")
        elif isinstance(event, Ended):
            value = None if trial is None or event.state not in ("complete", "stopped") else trial.value
            result = f": {self._value(value)} at epoch {trial.epoch}" if trial and value is not None else ""
            failure = event.failure if event.failure != event.state else None
            why = ", ".join(filter(None, (failure, event.reason)))
            self._say(f"{head} {event.state}{result}{f' ({why})' if why else ''}{_follows(event)}")
        elif isinstance(event, Resumed):
            if event.note:
                self._say(f"{head}: {event.note}")
            if event.epoch:
                self._say(f"{head} resumed after epoch {event.epoch}")
        elif isinstance(event, StopAsked):
            self._say(f"{head} stops after this epoch, as requested by the user")
        elif isinstance(event, EpochEnded) and trial is not None:
            self._where(trial)
        if start is not None:
            self._say(start)

    def show(self, summary: Callable[[], Summary]) -> None:
        """Print nothing between events."""

    def expect(self, metric: str, columns: Sequence[Column]) -> None:
        """Name these columns in the lines about trials."""
        self._running.metric, self._running.columns = metric, columns

    def acknowledge(self, text: str) -> None:
        """Write it directly to the file descriptor: the signal may have interrupted a print."""
        if not self._console.quiet:
            with contextlib.suppress(OSError, ValueError, AttributeError):  # a stream may have no descriptor
                os.write(self._console.file.fileno(), f"{text}\n".encode(errors="replace"))

    def _say(self, text: str) -> None:
        self.say(f"{time.strftime('%H:%M:%S')} {text}")

    def _value(self, value: float | None) -> str:
        return f"{self._running.metric} {shown(value, self._running.metric)}"

    def _where(self, trial: RunningTrial) -> None:
        """Print the progress of a trial that had no line for long."""
        now = self._running.now()
        if now - trial.spoke < HEARTBEAT_S:
            return
        trial.spoke = now
        value = "" if trial.value is None else f", {self._value(trial.value)}"
        silent = "" if now - trial.since < 1 else f", {duration(now - trial.since)} into the next epoch"
        self._say(f"trial {trial.job.number} {trial.where()}{value}{silent}")

    def _beat(self) -> None:
        with contextlib.suppress(OSError, SystemExit):  # the reader is gone
            while not self._ended.wait(LOOK_S):
                if (line := self._startup.overdue()) is not None:
                    self.say(line)
                for trial in list(self._running.trials.values()):
                    self._where(trial)


class LiveTable:
    """Tables that are redrawn in place, four times a second."""

    def __init__(self, console: TextConsole) -> None:
        self._console = console
        self._started = time.monotonic()
        self._running = Running()
        self._summary: Summary | None = None
        self._ended: Summary | None = None
        self._startup = Startup()
        self._note = ""
        self._stopping = ""
        self._live = Live(get_renderable=self._drawn, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self._live.__enter__()  # until it ends, it replaces the standard streams by ones that print control characters
        sys.stdout, sys.stderr = made_visible(sys.stdout), made_visible(sys.stderr)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def say(self, text: str) -> None:
        """Show `text` under the tables."""
        self._startup.said(text)
        self._note = text
        self._live.refresh()

    def take(self, event: Event) -> None:
        """Update the tables; show a failure or a damaged checkpoint under them."""
        number = event.job.number
        self._running.take(event)
        self._startup.take(event)
        if isinstance(event, Started):
            self._note = ""
        elif isinstance(event, Ended) and event.failure:
            self._note = f"trial {number}: {event.failure}, {event.reason}{_follows(event)}"
        elif isinstance(event, StopAsked):
            self._note = f"trial {number} stops after this epoch, as requested by the user"
        elif isinstance(event, Resumed) and event.note:
            self._note = f"trial {number} skipped a damaged checkpoint: {event.note}"

    def show(self, summary: Callable[[], Summary]) -> None:
        """Use these numbers from the next redraw on; slow parts are computed here, once."""
        found = summary()
        rows = [row for row in found.shown if row.number not in self._running.trials]
        ended = replace(found, rows=rows, beside=[*found.beside, *(row.config for row in found.shown)])
        _ = found.columns, ended.columns, ended.constants
        self._summary, self._ended = found, ended

    def expect(self, metric: str, columns: Sequence[Column]) -> None:
        """Show these columns of running trials."""
        self._running.metric, self._running.columns = metric, columns

    def acknowledge(self, text: str) -> None:
        """Show `text` at the next redraw of the tables."""
        self._stopping = text

    def _drawn(self) -> Group:
        parts: list[RenderableType] = []
        found, running = self._summary, self._running.table()
        elapsed = duration(round(time.monotonic() - self._started))
        if found is not None:
            left = self._running.left_s(found)
            eta = "" if left is None else f", about {duration(left)} left"
            hint = "" if self._stopping else "   Ctrl-C stops; nothing is lost"
            parts.append(self._console.render_str(tally(found), style="bold"))
            parts.append(self._console.render_str(f"{elapsed}{eta}{hint}"))
            parts += filter(None, (best_so_far(found), cost(found), found.exclusions))
        if running is not None:
            parts += ["", running, ""]
        if found is not None:
            taken = 9 + len(parts) + (running.row_count if running else 0)
            if self._ended is not None and self._ended.rows:
                parts += leaderboard(self._ended, self._console.width, max(3, self._console.height - taken))
        if self._stopping:
            parts.append(self._console.render_str(self._stopping, style="bold yellow"))
        note = self._startup.line() or self._note
        if note:
            parts.append(self._console.render_str(note, style="dim"))
        return Group(*parts)


def _follows(event: Ended) -> str:
    return _FOLLOWS[event.follows] if event.follows else ""
