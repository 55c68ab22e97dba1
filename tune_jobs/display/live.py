"""What people see while a sweep runs: a live table on a terminal, a line per event elsewhere."""

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
"""A trial that runs is heard of at least so often."""

LOOK_S = 0.25
"""How often it is looked whether something is to be said."""

_FOLLOWS = {
    "final": "",
    "again": "; retried in another attempt",
    "alone": "; retried once more alone",
    "pause": "; the sweep pauses",
}


class Progress(Protocol):
    """Is told what happens; used as a context manager around the run."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None: ...

    def say(self, text: str) -> None:
        """A sentence about the sweep."""

    def take(self, event: Event) -> None:
        """What happens to a trial."""

    def show(self, summary: Callable[[], Summary]) -> None:
        """How the sweep stands now; it is asked for only where it is shown."""

    def expect(self, metric: str, columns: Sequence[Column]) -> None:
        """What is about to run: its objective, and what its trials differ in."""

    def acknowledge(self, text: str) -> None:
        """Say at once, inside a signal's handler, that it was received."""


class Steady:
    """Another's progress, which goes quiet where it cannot be shown any more: no sweep ends with its terminal."""

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
        except (OSError, SystemExit):  # the latter is how rich takes a pipe whose other end is gone
            self._quiet = True


class LogLines:
    """A line per event, flushed; of a trial about whom nothing was said for a minute, where it is.

    Until the first one trains, it is said every other second what is being done.
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
        """Print the event, unless it is an epoch shortly after another line about the trial."""
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
            self._say(f"{head} ends after its epoch, as asked by hand")
        elif isinstance(event, EpochEnded) and trial is not None:
            self._where(trial)
        if start is not None:
            self._say(start)

    def show(self, summary: Callable[[], Summary]) -> None:
        """Nothing between events."""

    def expect(self, metric: str, columns: Sequence[Column]) -> None:
        """Name these columns in what is said of trials."""
        self._running.metric, self._running.columns = metric, columns

    def acknowledge(self, text: str) -> None:
        """Write it past whatever the signal has interrupted."""
        if not self._console.quiet:
            with contextlib.suppress(OSError, ValueError, AttributeError):  # a stream may have no descriptor
                os.write(self._console.file.fileno(), f"{text}\n".encode(errors="replace"))

    def _say(self, text: str) -> None:
        self.say(f"{time.strftime('%H:%M:%S')} {text}")

    def _value(self, value: float | None) -> str:
        return f"{self._running.metric} {shown(value, self._running.metric)}"

    def _where(self, trial: RunningTrial) -> None:
        """Where a trial is, if nothing was said of it for long."""
        now = self._running.now()
        if now - trial.spoke < HEARTBEAT_S:
            return
        trial.spoke = now
        value = "" if trial.value is None else f", {self._value(trial.value)}"
        silent = "" if now - trial.since < 1 else f", {duration(now - trial.since)} into the next one"
        self._say(f"trial {trial.job.number} {trial.where()}{value}{silent}")

    def _beat(self) -> None:
        with contextlib.suppress(OSError, SystemExit):  # nobody reads it any more
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
        self._live.__enter__()  # which puts streams of its own in place until its end, and these obey
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
        """The tables show it; a failure or a damaged checkpoint is said under them."""
        number = event.job.number
        self._running.take(event)
        self._startup.take(event)
        if isinstance(event, Started):
            self._note = ""
        elif isinstance(event, Ended) and event.failure:
            self._note = f"trial {number}: {event.failure}, {event.reason}{_follows(event)}"
        elif isinstance(event, StopAsked):
            self._note = f"trial {number} ends after its epoch, as asked by hand"
        elif isinstance(event, Resumed) and event.note:
            self._note = f"trial {number} skipped a damaged checkpoint: {event.note}"

    def show(self, summary: Callable[[], Summary]) -> None:
        """Redraw with these numbers; what takes long is worked out here, once."""
        found = summary()
        rows = [row for row in found.shown if row.number not in self._running.trials]
        ended = replace(found, rows=rows, beside=[*found.beside, *(row.fields for row in found.shown)])
        _ = found.columns, ended.columns, ended.constants
        self._summary, self._ended = found, ended

    def expect(self, metric: str, columns: Sequence[Column]) -> None:
        """Show these columns of running trials."""
        self._running.metric, self._running.columns = metric, columns

    def acknowledge(self, text: str) -> None:
        """Shown when the tables are next redrawn."""
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
