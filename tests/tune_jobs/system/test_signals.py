import os
import pty
import signal
import subprocess
import sys
import time
import weakref
from typing import Any

import pytest

from tune_jobs.system.signals import Interrupted, handled_signals


class Thing:
    """An object whose end calls a callback."""


def signal_in_a_callback(number: int) -> None:
    """Send a signal in a callback, where Python drops exceptions, as in many steps of an import; then wait for it."""
    thing = Thing()
    reference = weakref.ref(thing, lambda _: signal.raise_signal(number))
    del thing
    assert reference() is None
    time.sleep(10)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_a_callback_still_interrupts(number: signal.Signals, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Interrupted) as caught, handled_signals():
        signal_in_a_callback(number)
    assert (caught.value.number, caught.value.at_once) == (number, False)
    assert capfd.readouterr().err == ""


def test_a_signal_in_a_callback_is_one_signal() -> None:
    with handled_signals() as signals:
        with pytest.raises(Interrupted):
            signal_in_a_callback(signal.SIGINT)
        assert signals.received == [signal.SIGINT]
        with pytest.raises(Interrupted) as caught:
            signal.raise_signal(signal.SIGINT)
        assert caught.value.at_once


def test_a_signal_swallowed_under_rays_handler_ends_like_rays() -> None:
    def as_ray_does(_number: int, _frame: object) -> None:
        raise SystemExit(15)

    with handled_signals():
        signal.signal(signal.SIGTERM, as_ray_does)
        with pytest.raises(SystemExit):
            signal_in_a_callback(signal.SIGTERM)


def test_other_errors_in_callbacks_are_reported_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda event: reported.append(event.exc_type))

    def fail(_: object) -> None:
        raise ZeroDivisionError

    thing = Thing()
    reference = weakref.ref(thing, fail)
    with handled_signals():
        del thing
    assert reference() is None
    assert reported == [ZeroDivisionError]


def test_a_closed_terminal_ends_cleanly_and_later_output_is_lost() -> None:
    """A separate process, whose terminal is closed."""
    code = """
import signal, sys
from tune_jobs.system.signals import Interrupted, handled_signals
try:
    with handled_signals():
        print("ready", flush=True)
        signal.pause()
except Interrupted as caught:
    print("to nobody", flush=True)
    print("to nobody", file=sys.stderr, flush=True)
    sys.exit(128 + caught.number)
"""
    main, other = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", code], stdin=other, stdout=other, stderr=other)
    os.close(other)
    assert os.read(main, 100).startswith(b"ready")
    os.close(main)
    process.send_signal(signal.SIGHUP)
    assert process.wait(10) == 129


def test_nohup_stays_effective() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with handled_signals() as signals:
            signal.raise_signal(signal.SIGHUP)
        assert signals.received == []
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
