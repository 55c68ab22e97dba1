"""SIGINT and SIGTERM: the first one ends a sweep in good order, the second one at once."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


class Interrupted(KeyboardInterrupt):
    """A signal that arrived where there was nothing to end in order, or a second one."""

    def __init__(self, number: int, *, at_once: bool) -> None:
        super().__init__(number)
        self.number = number
        self.at_once = at_once


class Signals:
    """The signals received so far; while `on_first` is set, the first one calls it instead of raising."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self.on_first: Callable[[int], None] | None = None

    def take(self) -> None:
        """Make this the handler, in the main thread; elsewhere nothing changes."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self.handle)

    @property
    def twice(self) -> bool:
        """Whether everything is to end at once."""
        return len(self.received) > 1

    def handle(self, number: int, _frame: object) -> None:
        """Python's handler for both signals."""
        self.received.append(number)
        if len(self.received) == 1 and self.on_first is not None:
            self.on_first(number)
        else:
            raise Interrupted(number, at_once=self.twice)


@contextlib.contextmanager
def handled_signals() -> Iterator[Signals]:
    """Inside, both signals are ours; in a thread other than the main one nothing changes."""
    signals = Signals()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signals.take()
    try:
        yield signals
    except KeyboardInterrupt as error:  # Ray's calls make a bare one of ours
        if isinstance(error, Interrupted) or not signals.received:
            raise
        raise Interrupted(signals.received[-1], at_once=signals.twice) from None
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)
