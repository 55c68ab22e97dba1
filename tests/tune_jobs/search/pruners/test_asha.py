import optuna

from search_spaces.settings import Asha
from tests.tune_jobs.driver.by_hand import SPEC
from tune_jobs.search.pruners.asha import SuccessiveHalving


def reported(study: optuna.Study, *values: float) -> optuna.Trial:
    trial = study.ask()
    for epoch, value in enumerate(values, 1):
        trial.report(value, epoch)
    return trial


def test_at_a_rung_only_the_best_third_continues() -> None:
    study = optuna.create_study(direction="maximize")
    rule = SuccessiveHalving(Asha(kind="asha", grace_epochs=2, reduction_factor=3), SPEC.space)

    def stops(*values: float) -> bool:
        trial = reported(study, *values)
        return rule.stops(study, study.trials[trial.number])

    assert not stops(0.1)  # before the first rung
    assert not stops(0.5, 0.5)  # the first to arrive
    assert stops(0.9, 0.4)
    assert not stops(0.1, 0.6)
    assert stops(0.1, 0.55)
