"""SIGINT, SIGTERM and SIGHUP: the first one ends a sweep in good order, the second one at once."""

import contextlib
import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

AGAIN_S = 0.01
"""A signal that a callback has swallowed is sent again after this."""


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
        self._again = False
        # `nohup` has it ignored, and that stays so.
        self._numbers = [n for n in HANDLED if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]

    def take(self) -> None:
        """Make this the handler, in the main thread; elsewhere nothing changes."""
        if threading.current_thread() is threading.main_thread():
            for number in self._numbers:
                signal.signal(number, self.handle)

    @property
    def twice(self) -> bool:
        """Whether everything is to end at once."""
        return len(self.received) > 1

    def handle(self, number: int, _frame: object) -> None:
        """Python's handler for each of them."""
        if number == signal.SIGHUP:
            _leave_terminal()
        if not self._again:
            self.received.append(number)
        self._again = False
        if len(self.received) == 1 and self.on_first is not None:
            self.on_first(number)
        else:
            raise Interrupted(number, at_once=self.twice)

    def not_swallowed(self, error: BaseException | None) -> bool:
        """Send a signal again whose exception was raised where Python drops all, as in the callbacks of an import.

        Returns:
            Whether it was one.
        """
        if isinstance(error, Interrupted):
            number, self._again = error.number, True
        elif (
            isinstance(error, SystemExit) and error.code == signal.SIGTERM
        ):  # Ray's handler; see tune_jobs.executors.ray_tune.session
            number = signal.SIGTERM
        else:
            return False
        main = threading.main_thread().ident
        assert main is not None
        left = threading.Event()

        def send_again() -> None:
            left.wait()  # starting a thread may take a busy machine longer than AGAIN_S, and here all is dropped
            time.sleep(AGAIN_S)
            signal.pthread_kill(main, number)

        threading.Thread(target=send_again, daemon=True).start()
        left.set()
        return True


def _leave_terminal() -> None:
    """What is written to a terminal that is closed would fail."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        if os.isatty(stream) or _is_hung_up(stream):
            os.dup2(nowhere, stream)
    os.close(nowhere)


def _is_hung_up(stream: int) -> bool:
    """Whether it was a terminal that is no more."""
    try:
        os.tcgetpgrp(stream)
    except OSError as error:
        return error.errno == errno.EIO
    return False


@contextlib.contextmanager
def handled_signals() -> Iterator[Signals]:
    """Inside, these signals are ours; in a thread other than the main one nothing changes."""
    signals = Signals()
    report = sys.unraisablehook

    def unraisable(event: "sys.UnraisableHookArgs") -> None:
        if not signals.not_swallowed(event.exc_value):
            report(event)

    before = {number: signal.getsignal(number) for number in HANDLED}
    signals.take()
    sys.unraisablehook = unraisable
    try:
        yield signals
    except KeyboardInterrupt as error:  # Ray's calls make a bare one of ours
        if isinstance(error, Interrupted) or not signals.received:
            raise
        raise Interrupted(signals.received[-1], at_once=signals.twice) from None
    finally:
        sys.unraisablehook = report
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)
