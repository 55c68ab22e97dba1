import optuna
import pytest

from search_spaces import parse_sweep
from search_spaces.settings import Tpe
from tune_jobs.search.samplers.tpe import STARTUP_TRIALS, TpeSampler

LR = "space.training.lr"
RANGE = optuna.distributions.FloatDistribution(0.01, 1)
SPACE = parse_sweep("""
name: one-field
space:
  model: {layer: {kind: conv2d}}
  training: {lr: {uniform: [0.01, 1]}}
search: {sampler: tpe, trials: 9}
""").space


def told(count: int) -> optuna.Study:
    """Create a study of a function with its maximum at 0.3."""
    study = optuna.create_study(direction="maximize")
    for number in range(count):
        x = 0.01 + 0.99 * number / max(1, count - 1)
        study.add_trial(
            optuna.trial.create_trial(
                params={LR: x},
                distributions={LR: RANGE},
                value=-abs(x - 0.3),
            )
        )
    return study


def drawn(trials: int, history: int) -> list[float]:
    sampler = TpeSampler(Tpe(sampler="tpe", trials=trials), SPACE)
    found = []
    for seed in range(12):
        study = told(history)
        decider = sampler.decide(history, seed)
        study.sampler = decider
        found.append(study.ask({LR: RANGE}).params[LR])
    return found


@pytest.mark.parametrize(("trials", "history"), [(100, STARTUP_TRIALS), (15, 5)])
def test_after_random_first_trials_tpe_draws_near_the_good_ones(trials: int, history: int) -> None:
    near = sum(abs(x - 0.3) < 0.25 for x in drawn(trials, 2 * history))
    assert near >= 10
    spread = drawn(trials, history - 1)  # too few to learn from
    assert max(spread) - min(spread) > 0.6
