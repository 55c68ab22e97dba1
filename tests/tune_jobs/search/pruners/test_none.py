import optuna

from search_spaces.settings import NoStopping
from tests.tune_jobs.driver.by_hand import SPEC
from tune_jobs.search.pruners.none import NoRule


def test_even_the_worst_trial_is_not_stopped() -> None:
    study = optuna.create_study(direction="maximize")
    for value in (0.9, 0.8, 0.0):
        trial = study.ask()
        trial.report(value, 1)
        assert not NoRule(NoStopping(), SPEC.space).stops(study, study.trials[trial.number])
