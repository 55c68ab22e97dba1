"""The risk of a stopping rule: what controls say about it, and for which sweeps it is not known."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from scipy.stats import binomtest

from benchmarks.families import settled
from benchmarks.risk import sweep, told, true_risk
from benchmarks.stopping import course
from tests.tune_jobs.search.under_auto import auto_spec, auto_sweep
from tests.tune_jobs.simulate.playing import on_table, playback
from tune_jobs.record.folder import SweepFolder, recorded_spec
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.memory import MemoryRecord
from tune_jobs.record.requests import excluded
from tune_jobs.record.rows import BY_HAND, Epoch, Trial
from tune_jobs.search.pruners.curves import AutoRule
from tune_jobs.search.risk import Risk, interval, replayed, risk_of
from tune_jobs.simulate.one_sweep import play

CONTROL = 23


@pytest.mark.parametrize(("found", "of"), [(0, 1), (1, 1), (0, 3), (2, 7), (7, 7), (5, 40)])
def test_the_interval_is_that_of_clopper_and_pearson(found: int, of: int) -> None:  # oracle: SciPy's exact test
    expected = binomtest(found, of).proportion_ci(0.9, method="exact")
    assert interval(found, of) == pytest.approx((expected.low, expected.high))
    assert interval(0, 0) == (None, None)


class Asked(AutoRule):
    """A rule that is asked after every epoch of a control whether it would stop the control."""

    asked = True

    def __init__(self) -> None:
        super().__init__(100, maximize=True)
        self.stopped: list[tuple[int, int]] = []
        self.would: list[int] = []

    def observe(self, trial: int, epoch: int, value: float, loss: float | None = None) -> bool:
        answer = super().observe(trial, epoch, value, loss)
        if answer:
            self.stopped.append((trial, epoch))
        if self.asked and trial == CONTROL and self.would_stop(trial, epoch):
            self.would.append(epoch)
        return answer


class OneControlFewer(Asked):
    """A rule that treats one control like any other trial."""

    asked = False

    def is_control(self, trial: int) -> bool:
        return trial != CONTROL and super().is_control(trial)


class NotAsked(Asked):
    asked = False


def searched(rule: Asked, seed: int) -> Asked:
    course(settled(seed), range(400), rule)
    return rule


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_a_control_would_be_stopped_where_a_normal_trial_is_stopped(seed: int) -> None:
    stopped = next(epoch for trial, epoch in searched(OneControlFewer(), seed).stopped if trial == CONTROL)
    assert searched(Asked(), seed).would[0] == stopped


def test_asking_does_not_change_decisions() -> None:
    asked, not_asked = searched(Asked(), 5), searched(NotAsked(), 5)
    assert asked.would
    assert asked.stopped == not_asked.stopped


def risk_in(folder: SweepFolder) -> Risk | None:
    with closing(Ledger(folder.ledger)) as ledger:
        return risk_of(recorded_spec(folder), ledger.trials(), ledger.epochs, excluded(ledger.requests()))


def test_the_risk_depends_on_the_ledger_alone_and_is_the_same_after_restarts(tmp_path: Path) -> None:
    at_once, restarted = (auto_sweep(tmp_path / str(cut), trials=26, interrupt=cut) for cut in (False, True))
    found = risk_in(at_once)
    assert found is not None
    assert (found.controls, found.running, found.stopped > 10) == (1, 0, True)
    assert risk_in(restarted) == found


def test_the_replay_decides_like_the_rule_in_a_sweep_with_several_workers() -> None:
    spec, record = on_table(stopping="{kind: auto}", search__trials="42"), MemoryRecord()
    play(spec, playback(), workers=3, record=record)
    stopped = [trial.run_key for trial in record.trials() if trial.state == "stopped"]
    assert len(stopped) > 5
    decided = [each for each in replayed(spec, record.trials(), record.epochs()) if not each.is_control]
    assert sorted(each.run_key for each in decided) == sorted(stopped)
    last = {epoch.run_key: epoch.epoch for epoch in record.epochs()}
    assert all(each.epoch == last[each.run_key] for each in decided)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Trial], list[Epoch]]:
    folder = auto_sweep(tmp_path_factory.mktemp("whole"))
    with closing(Ledger(folder.ledger)) as ledger:
        return ledger.trials(), ledger.epochs()


def changed(trials: list[Trial], number: int, **fields: str) -> list[Trial]:
    return [replace(trial, **fields) if trial.number == number else trial for trial in trials]  # type: ignore[arg-type]


def test_the_text_has_the_interval_the_method_and_the_number_of_controls(
    whole: tuple[list[Trial], list[Epoch]],
) -> None:
    trials, epochs = whole
    found = risk_of(auto_spec(), trials, lambda: epochs)
    assert found is not None
    assert found.stopped == sum(trial.state == "stopped" for trial in trials)
    assert str(found) == (
        "chance that a stopped trial would have been among the best 3: 0% to 78% "
        "(90% interval, Clopper-Pearson: 0 of 2 controls that the rule would have stopped)"
    )


def test_a_control_that_ends_among_the_best_counts(whole: tuple[list[Trial], list[Epoch]]) -> None:
    trials, epochs = whole
    (key,) = (trial.run_key for trial in trials if trial.number == 48)
    raised = [
        replace(epoch, metrics={"val/accuracy": 2.0}) if (epoch.run_key, epoch.epoch) == (key, 9) else epoch
        for epoch in epochs
    ]
    found = risk_of(auto_spec(), trials, lambda: raised)
    assert found is not None
    assert (found.among_best, found.controls) == (1, 2)
    assert found.low == pytest.approx(1 - 0.95**0.5)
    diverged = risk_of(auto_spec(), changed(trials, 48, state="diverged"), lambda: raised)
    assert diverged is not None
    assert (diverged.among_best, diverged.controls) == (0, 2)


def test_only_trials_that_the_rule_stopped_and_ended_controls_count(whole: tuple[list[Trial], list[Epoch]]) -> None:
    trials, epochs = whole
    full = risk_of(auto_spec(), trials, lambda: epochs)
    assert full is not None
    stopped = next(trial for trial in trials if trial.state == "stopped")
    by_hand = risk_of(auto_spec(), changed(trials, stopped.number, reason=BY_HAND), lambda: epochs)
    assert by_hand is not None
    assert by_hand.stopped == full.stopped - 1
    running = risk_of(auto_spec(), changed(trials, 48, state="running"), lambda: epochs)
    assert running is not None
    assert (running.controls, running.running) == (1, 1)
    (last,) = (trial.run_key for trial in trials if trial.number == 48)
    without = risk_of(auto_spec(), trials, lambda: epochs, {last})
    assert without is not None
    assert (without.controls, without.running) == (1, 0)


def test_the_text_says_if_the_risk_is_not_known(whole: tuple[list[Trial], list[Epoch]]) -> None:
    trials, epochs = whole
    early = [trial for trial in trials if trial.number < 24]
    assert str(risk_of(auto_spec(), early, lambda: epochs)).endswith(
        "not known yet; no control that the rule would have stopped has ended"
    )
    for rule in ("{kind: asha}", "{kind: median}", "{kind: hyperband}", "{kind: patience, patience_epochs: 3}"):
        said = str(risk_of(auto_spec(stopping=rule), trials, lambda: epochs))
        assert "among the best 3: not known, as" in said
        assert said.endswith("runs no controls to their end (auto does)")
    assert risk_of(auto_spec(stopping="{kind: none}"), trials, lambda: epochs) is None
    assert risk_of(auto_spec(), trials[:8], lambda: epochs) is None  # nothing was stopped


def test_the_text_says_that_the_order_of_a_grid_is_not_random(whole: tuple[list[Trial], list[Epoch]]) -> None:
    trials, epochs = whole
    grid = auto_spec(search="{sampler: grid}", space__training__lr="1.0e-3")
    assert "a grid runs in file order" in str(risk_of(grid, trials, lambda: epochs))


def test_the_true_risk_of_a_simulated_sweep_lies_in_the_interval() -> None:
    table, order = settled(3), list(range(60))
    record = sweep(table, order)
    found = told(table, record)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low <= true_risk(table, order, record) <= found.high < 1
    assert found.stopped == sum(trial.state == "stopped" for trial in record.trials)
