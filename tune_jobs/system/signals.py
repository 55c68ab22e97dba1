"""SIGINT, SIGTERM and SIGHUP: the first signal stops a sweep cleanly, the second one immediately."""

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
"""Delay after which a signal swallowed by a callback is sent again."""


class Interrupted(KeyboardInterrupt):
    """A second signal, or a signal that arrived when nothing was running that needs a clean stop."""

    def __init__(self, number: int, *, at_once: bool) -> None:
        super().__init__(number)
        self.number = number
        self.at_once = at_once


class Signals:
    """The signals received so far. If `on_first` is set, the first signal calls it instead of raising."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self.on_first: Callable[[int], None] | None = None
        self._again = False
        # `nohup` makes the process ignore SIGHUP; keep it so.
        self._numbers = [n for n in HANDLED if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]

    def take(self) -> None:
        """Install this handler. Does nothing outside the main thread."""
        if threading.current_thread() is threading.main_thread():
            for number in self._numbers:
                signal.signal(number, self.handle)

    @property
    def twice(self) -> bool:
        """Whether to stop everything immediately."""
        return len(self.received) > 1

    def handle(self, number: int, _frame: object) -> None:
        """Python's signal handler."""
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
        """Send a signal again if its exception was raised where Python drops exceptions, as in import callbacks.

        Returns:
            Whether the error came from a signal.
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
            left.wait()  # on a busy machine, starting a thread may take longer than AGAIN_S
            time.sleep(AGAIN_S)
            signal.pthread_kill(main, number)

        threading.Thread(target=send_again, daemon=True).start()
        left.set()
        return True


def _leave_terminal() -> None:
    """Redirect streams of a closed terminal to /dev/null; writing to them would fail."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        if os.isatty(stream) or _is_hung_up(stream):
            os.dup2(nowhere, stream)
    os.close(nowhere)


def _is_hung_up(stream: int) -> bool:
    """Whether the stream was a terminal that is now closed."""
    try:
        os.tcgetpgrp(stream)
    except OSError as error:
        return error.errno == errno.EIO
    return False


@contextlib.contextmanager
def handled_signals() -> Iterator[Signals]:
    """Handle these signals inside the `with` block. Outside the main thread, no handler is installed."""
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
    except KeyboardInterrupt as error:  # Ray's calls replace our exception with a plain one
        if isinstance(error, Interrupted) or not signals.received:
            raise
        raise Interrupted(signals.received[-1], at_once=signals.twice) from None
    finally:
        sys.unraisablehook = report
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)
