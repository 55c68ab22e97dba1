"""Several processes do the same work, and the results do not depend on their number."""

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.tune_jobs.program import start
from tests.tune_jobs.simulate.playing import spec, table
from tune_jobs.simulate import simulation
from tune_jobs.simulate.processes import spread
from tune_jobs.simulate.simulation import Setting, simulate


def told(item: int) -> tuple[int, int, bool]:
    """Return the result of an item, the process that worked on it, and whether torch was imported there."""
    time.sleep(0.02)
    return item * item, os.getpid(), "torch" in sys.modules


def dies(item: int) -> tuple[int, int]:
    """Kill the process unless it is the one that asks, like a machine out of memory."""
    if os.getpid() != item:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return item, os.getpid()


def fails(item: int) -> int:
    if os.getpid() != item:
        raise ValueError("not here")
    time.sleep(0.05)
    return item


def test_results_are_in_order_and_other_processes_do_not_import_torch() -> None:
    counts: list[int] = []
    found = spread(told, range(200), 3, counts.append, pays_s=0)
    assert [result for result, _, _ in found] == [item * item for item in range(200)]
    assert counts == list(range(1, 201))
    helpers = {pid: torch for _, pid, torch in found if pid != os.getpid()}
    assert len(helpers) == 2
    assert not any(helpers.values())


@pytest.mark.parametrize("processes", [1, 2])
def test_one_process_or_short_work_starts_no_other(processes: int) -> None:
    assert {pid for _, pid, _ in spread(told, range(3), processes, pays_s=0 if processes == 1 else 60)} == {os.getpid()}


def test_this_process_does_the_work_of_a_killed_one() -> None:
    me = os.getpid()
    assert spread(dies, [me] * 100, 2, pays_s=0) == [(me, me)] * 100


def test_an_error_in_another_process_is_raised_here() -> None:
    with pytest.raises(ValueError, match="not here"):
        spread(fails, [os.getpid()] * 2000, 2, pays_s=0)


def test_a_simulation_is_the_same_with_two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = Setting(repeats=6, budgets=(2.0, 4.0), rules="none,asha:1/3")
    alone = [simulate(table(), given, setting).results for given in (spec(), None)]
    monkeypatch.setattr(simulation, "spread", partial(spread, pays_s=0))
    assert [simulate(table(), given, setting, processes=2).results for given in (spec(), None)] == alone


def test_ctrl_c_ends_a_simulation_immediately_without_a_traceback(tmp_path: Path) -> None:
    words = ("simulate", "figure5-cifar10", "--repeats", "500", "--rules", "none")
    with start(*words, storage=tmp_path) as running:
        assert running.stdout is not None
        assert "simulating none: 500 times each" in running.stdout.readline()
        assert "simulated" in running.stdout.readline()  # the other process has started
        pressed = time.monotonic()
        os.killpg(running.pid, signal.SIGINT)
        said = running.stdout.read()  # until every process has ended
        assert time.monotonic() - pressed < 5
    assert running.returncode == 130
    assert said.splitlines()[-1] == "convnn: interrupted"
    assert "Traceback" not in said
