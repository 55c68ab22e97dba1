"""The help states each exit code of `convnn` once, and the program uses them."""

import signal

from typer.testing import CliRunner

from tune_jobs.cli.app import app
from tune_jobs.driver.limits import Halt
from tune_jobs.errors import ExitCode


def test_the_help_names_every_exit_code_with_its_meaning() -> None:
    said = " ".join(CliRunner().invoke(app, ["--help"]).stdout.split())
    assert said.count("interrupted") == 1
    for code in ExitCode:
        assert f"{code.value} {code.meaning}" in said or (code.meaning == "interrupted" and f"{code.value}" in said)


def test_a_signal_ends_a_sweep_with_its_exit_code() -> None:
    signals = {ExitCode.HANGUP: signal.SIGHUP, ExitCode.INTERRUPT: signal.SIGINT, ExitCode.TERMINATED: signal.SIGTERM}
    assert {Halt("signal", "stopped", number).exit_code: number for number in signals.values()} == signals
