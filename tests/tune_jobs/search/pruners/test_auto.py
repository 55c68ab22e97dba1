"""The rule that learns from complete trials, alone and over a study."""

import math

import numpy as np
import optuna
import pytest

from benchmarks.families import Table, crossing, noise, settled
from benchmarks.stopping import course, never, regrets
from search_spaces.settings import Auto
from tests.tune_jobs.search.pruners.judged import SPACE
from tune_jobs.search.pruners.auto import LearntStopping
from tune_jobs.search.pruners.curves import CONTROL_EVERY, FIRST, AutoRule, _Rung
from tune_jobs.search.pruners.lines import student_below

EPOCHS = 100


class Recorder(AutoRule):
    """Records the calls and the decisions to stop."""

    def __init__(self, *, maximize: bool = True) -> None:
        super().__init__(EPOCHS, maximize=maximize)
        self.events: list[tuple[int, int, float, float | None]] = []
        self.stopped: list[tuple[int, int]] = []

    def observe(self, trial: int, epoch: int, value: float, loss: float | None = None) -> bool:
        self.events.append((trial, epoch, value, loss))
        answer = super().observe(trial, epoch, value, loss)
        if answer:
            self.stopped.append((trial, epoch))
        return answer


def searched(table: Table, *, maximize: bool = True) -> Recorder:
    rule = Recorder(maximize=maximize)
    course(table, range(len(table.values)), rule)
    return rule


def test_the_rule_detects_settled_ranks() -> None:
    rule = searched(settled(3))
    assert len(rule.stopped) > 50
    assert np.median([epoch for _, epoch in rule.stopped]) <= 10
    order = list(range(400))
    own = sum(regrets(settled(seed), order, AutoRule(EPOCHS, maximize=True))[1] for seed in range(8))
    assert own < sum(never(settled(seed), order)[1] for seed in range(8))


def test_the_same_events_give_the_same_answers() -> None:
    first = searched(settled(1))
    again = AutoRule(EPOCHS, maximize=True)
    stopped = []
    for trial, epoch, value, loss in first.events:
        if again.observe(trial, epoch, value, loss):
            stopped.append((trial, epoch))
            again.ended(trial, "stopped")
        elif epoch == EPOCHS:
            again.ended(trial, "complete")
    assert stopped == first.stopped
    assert stopped


@pytest.mark.parametrize("factor", [1.0, 1e-3, 1e4])
def test_minimizing_the_negated_values_and_scaling_change_nothing(factor: float) -> None:
    table = settled(2)
    turned = Table(-factor * table.values, None, maximize=False)
    assert searched(turned, maximize=False).stopped == searched(table).stopped


def test_controls_are_never_stopped() -> None:
    rule = searched(settled(4))
    stopped = {trial for trial, _ in rule.stopped}
    controls = {trial for trial in range(rule.events[-1][0]) if rule.is_control(trial)}
    assert controls >= {*range(FIRST), CONTROL_EVERY - 1, 2 * CONTROL_EVERY - 1}
    assert not stopped & controls


@pytest.mark.parametrize(("make", "most"), [(noise, 0.05), (crossing, 0.5)])
def test_few_trials_are_stopped_if_the_standing_predicts_nothing(make: object, most: float) -> None:
    assert callable(make)
    early = ran = 0
    for seed in range(4):
        rule = searched(make(seed))
        early += sum(epoch <= 30 for _, epoch in rule.stopped)
        ran += len({trial for trial, *_ in rule.events})
    assert early <= most * ran


def test_nan_and_infinite_values_count_as_the_worst() -> None:
    table = settled(5)
    broken = table.values.copy()
    broken[::3, 20:] = math.nan
    broken[1::7, 50:] = -math.inf
    rule = searched(Table(broken, np.full_like(broken, math.nan)))
    assert rule.stopped
    best = int(np.nanargmax(np.where(np.isfinite(broken[:FIRST, -1]), broken[:FIRST, -1], -math.inf)))
    assert best not in {trial for trial, _ in rule.stopped}


def test_equal_values_stop_no_trial() -> None:
    rule = searched(Table(np.ones((60, EPOCHS)), np.ones((60, EPOCHS))))
    assert rule.stopped == []


def test_the_rule_fits_again_only_after_a_trial_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    fits: list[tuple[int, int]] = []
    kept = AutoRule._fit

    def counted(rule: AutoRule, rung: int) -> tuple[int, _Rung, float]:
        fits.append((rule._complete, rung))
        return kept(rule, rung)

    monkeypatch.setattr(AutoRule, "_fit", counted)
    searched(settled(6))
    assert len(fits) == len(set(fits))  # once for each rung and number of complete trials


@pytest.mark.parametrize(
    ("value", "freedom", "below"), [(0.0, 9, 0.5), (1.833, 9, 0.95), (-2.821, 9, 0.01), (-4.297, 9, 0.001)]
)
def test_students_distribution(value: float, freedom: int, below: float) -> None:
    assert student_below(np.array([value]), np.array([freedom]))[0] == pytest.approx(below, rel=0.03)


@pytest.mark.parametrize("epochs", [1, 2, 5, 12])
def test_the_rule_works_with_few_epochs(epochs: int) -> None:
    rule = AutoRule(epochs, maximize=True)
    for trial in range(30):
        for epoch in range(1, epochs + 1):
            if rule.observe(trial, epoch, trial % 7 + epoch / 100):
                break


def test_the_rule_for_a_study_decides_like_the_bare_rule() -> None:
    table = settled(7).values[:60]
    alone = AutoRule(EPOCHS, maximize=True)
    over = LearntStopping(Auto(kind="auto", prior="none"), SPACE)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    answers = []
    for number, curve in enumerate(table[:20]):
        trial = study.ask()
        for epoch, value in enumerate(curve.tolist(), 1):
            trial.report(value, epoch)
            loss = math.exp(-value / 10)
            expected = alone.observe(number, epoch, value, loss)
            over.sees(trial.number, epoch, {"val/accuracy": value, "val/loss": loss, "epoch_s": 1.0})
            answers.append(over.stops(study, study.get_trials(deepcopy=False)[trial.number]))
            assert answers[-1] == expected
            if expected:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, curve[-1])
    assert any(answers)
