"""A simulated sweep equals the driver's: the same record, with any kind of record and any executor."""

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tune_jobs.simulate.on_ray import short
from tests.tune_jobs.simulate.playing import EPOCHS, InOrder, driven, on_table, playback
from tune_jobs.executors.inline import open_inline
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.memory import MemoryRecord
from tune_jobs.record.rows import Ask, Epoch
from tune_jobs.simulate.one_sweep import Course, finish_best, play


def decisions(record: Ledger | MemoryRecord) -> list[Any]:
    """Return every ask and epoch in order, without the record's internal numbers, and how each trial ended."""
    events: list[Ask | Epoch] = sorted([*record.asks(), *record.epochs()], key=lambda event: event.seq)
    found: list[Any] = [
        (e.decisions, e.outcome, e.run_key) if isinstance(e, Ask) else (e.run_key, e.attempt, e.epoch, e.metrics)
        for e in events
    ]
    trials = [(t.number, t.run_key, t.config, t.state, t.reason) for t in record.trials()]
    return [*found, *trials, *((a.run_key, a.attempt, a.state, a.failure) for a in record.attempts())]


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_driver_on_the_table_and_the_simulation_write_the_same_record(tmp_path: Path, sampler: str) -> None:
    played, sweep = playback("seconds"), on_table(search__sampler=sampler)
    with contextlib.closing(driven(sweep, tmp_path, open_inline(played, slots=3))) as ledger:
        record = MemoryRecord()
        play(sweep, played, workers=3, record=record)
        assert decisions(record) == decisions(ledger)
        assert {trial.state for trial in record.trials()} == {"complete", "stopped"}
        assert {ask.outcome for ask in record.asks()} >= {"new", "infeasible"}  # k = 4 was never recorded

        again = MemoryRecord()
        order = InOrder(played, ledger.asks(), ledger.epochs(), slots=3)
        play(sweep, played, workers=3, record=again, executor=order)
        assert decisions(again) == decisions(ledger)


def test_a_ray_sweep_on_the_table_and_the_simulation_in_its_order_decide_the_same(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.tune_jobs.simulate.on_ray", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parents[3])
    sweep, record = short(), MemoryRecord()
    with contextlib.closing(Ledger(tmp_path / sweep.name / "ledger.db")) as ledger:
        begun = [ask for ask in ledger.asks() if ask.seq < ledger.epochs()[0].seq and ask.outcome == "new"]
        order = InOrder(playback(), ledger.asks(), ledger.epochs(), slots=len(begun))
        play(sweep, playback(), workers=3, record=record, executor=order)
        assert decisions(record) == decisions(ledger)
        assert {trial.state for trial in ledger.trials()} == {"complete", "stopped"}
        assert len(ledger.trials()) == 12
    assert 1 <= int((tmp_path / "kept").read_text()) <= 3  # Tune has forgotten the others


def test_a_simulated_sweep_keeps_its_budget_of_trials_and_of_hours() -> None:
    few = play(on_table(budget__trials="5"), playback(), workers=3)
    assert len(few.started) == 5
    hours = play(on_table(budget__cpu_hours="0.2"), playback("seconds"), workers=3)
    assert 0 < len(hours.started) < 30
    assert hours.spent == pytest.approx(720, rel=0.2)  # running epochs finish


def test_a_course_has_the_cost_of_trials_and_the_best_value_at_each_cost() -> None:
    course = play(on_table(False), playback(), workers=1, most=3 * EPOCHS)
    assert course.spent == 3 * EPOCHS
    assert course.started == [0, EPOCHS, 2 * EPOCHS]
    assert [cost for cost, _ in course.complete] == [EPOCHS, 2 * EPOCHS, 3 * EPOCHS]
    first, second, third = (value for _, value in course.complete)
    assert course.best(EPOCHS - 1, "maximize") is None
    assert course.best(2 * EPOCHS, "maximize") == max(first, second)
    assert course.best(3 * EPOCHS, "minimize") == min(first, second, third)


def test_the_best_trials_after_two_epochs_finish_and_cost_their_remaining_epochs() -> None:
    played = playback()
    cut = play(on_table(False), played, workers=3, cut=2)
    assert len(cut.stopped) == 30
    assert not cut.complete
    found = finish_best(cut, played, 30.0, "maximize", cut=2, keep=2, epochs=EPOCHS)
    assert (found.started, found.complete, found.spent) == (8, 2, 8 * 2 + 2 * 7)
    best = sorted(cut.stopped[:8], key=lambda trial: -trial[2])[:2]
    assert found.value == max(played.value(run, EPOCHS) for run, _, _ in best)
    assert finish_best(Course(), played, 30.0, "maximize", cut=2, keep=2, epochs=EPOCHS).value is None
