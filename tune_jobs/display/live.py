"""What people see while a sweep runs: a live table on a terminal, a line per event elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, Self

from rich.console import Group
from rich.live import Live

from tune_jobs.display.console import TextConsole
from tune_jobs.display.tables import cost, leaderboard, shortly, tally
from tune_jobs.events import Ended, EpochEnded, Event, Resumed, Started, StopAsked
from tune_jobs.results.summary import Summary
from tune_jobs.system.visible import made_visible

if TYPE_CHECKING:
    from types import TracebackType

HEARTBEAT_S = 60.0
_FOLLOWS = {
    "final": "",
    "again": "; it goes on in another attempt",
    "alone": "; it is tried once more alone",
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

    def _do(self, show: Callable[[], object]) -> None:
        if self._quiet:
            return
        try:
            show()
        except (OSError, SystemExit):  # the latter is how rich takes a pipe whose other end is gone
            self._quiet = True


class LogLines:
    """A line per event, flushed; epochs only as a sign of life once a minute."""

    def __init__(self, console: TextConsole) -> None:
        self._console = console
        self._spoke = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def say(self, text: str) -> None:
        """Print `text`."""
        self._spoke = time.monotonic()
        self._console.print(text, soft_wrap=True)

    def take(self, event: Event) -> None:
        """Print the event, unless it is an epoch shortly after another line."""
        job = event.job
        head = f"{time.strftime('%H:%M:%S')} trial {job.number}"
        if isinstance(event, Started):
            again = f", attempt {job.attempt}" if job.attempt > 1 else ""
            self.say(f"{head} started{again}: {shortly(job.config)}")
        elif isinstance(event, Ended):
            failure = event.failure if event.failure != event.state else None
            why = ", ".join(filter(None, (failure, event.reason)))
            self.say(f"{head} {event.state}{f' ({why})' if why else ''}{_follows(event)}")
        elif isinstance(event, Resumed):
            if event.note:
                self.say(f"{head}: {event.note}")
            if event.epoch:
                self.say(f"{head} goes on after epoch {event.epoch}")
        elif isinstance(event, StopAsked):
            self.say(f"{head} ends after its epoch, as asked by hand")
        elif isinstance(event, EpochEnded) and time.monotonic() - self._spoke >= HEARTBEAT_S:
            numbers = "  ".join(f"{name} {value:.4g}" for name, value in event.metrics.items() if "/" in name)
            self.say(f"{head} epoch {event.epoch}/{job.config.training.epochs}: {numbers}")

    def show(self, summary: Callable[[], Summary]) -> None:
        """Nothing between events."""


class LiveTable:
    """A table that is redrawn in place."""

    def __init__(self, console: TextConsole) -> None:
        self._console = console
        self._started = time.monotonic()
        self._note = ""
        self._live = Live("starting ...", console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self._live.__enter__()  # which puts streams of its own in place until its end, and these obey
        sys.stdout, sys.stderr = made_visible(sys.stdout), made_visible(sys.stderr)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def say(self, text: str) -> None:
        """Show `text` under the table."""
        self._note = text
        self._live.update(text)

    def take(self, event: Event) -> None:
        """The table shows it; a failure or a damaged checkpoint is said under it."""
        number = event.job.number
        if isinstance(event, Started):
            self._note = ""
        elif isinstance(event, Ended) and event.failure:
            self._note = f"trial {number}: {event.failure}, {event.reason}{_follows(event)}"
        elif isinstance(event, StopAsked):
            self._note = f"trial {number} ends after its epoch, as asked by hand"
        elif isinstance(event, Resumed) and event.note:
            self._note = f"trial {number} passed over a checkpoint: {event.note}"

    def show(self, summary: Callable[[], Summary]) -> None:
        """Redraw."""
        found = summary()
        most = max(5, self._console.height - 9)
        seconds = int(time.monotonic() - self._started)
        status = f"{tally(found)}   {seconds // 60}:{seconds % 60:02d}   Ctrl-C stops; nothing is lost"
        note = self._console.render_str(self._note, style="dim")
        status_line = self._console.render_str(status, style="bold")
        used = "\n".join(filter(None, (cost(found), found.exclusions)))
        self._live.update(Group(status_line, used, leaderboard(found, most), note))


def _follows(event: Ended) -> str:
    return _FOLLOWS[event.follows] if event.follows else ""
