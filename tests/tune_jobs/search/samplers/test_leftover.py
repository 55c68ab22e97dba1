from search_spaces import TrialConfig, parse_sweep
from tests.tune_jobs.driver.by_hand import SPEC
from tune_jobs.search.samplers.leftover import draw_unused

CONTINUOUS = parse_sweep("""
name: continuous
space:
  model: {layer: {kind: conv2d}}
  training: {lr: {uniform: [0.1, 0.2]}}
search: {sampler: random, trials: 3}
""")


def test_in_a_finite_space_one_of_the_remaining_configurations_is_drawn() -> None:
    def unused(config: TrialConfig) -> bool:
        return bool(config.model.mixing_layer.lam >= 0.75)  # type: ignore[attr-defined]

    drawn = [draw_unused(SPEC.space, seed, unused) for seed in range(20)]
    assert {point["space.model.layer.lambda"] for point in drawn if point} == {0.75, 1}
    assert draw_unused(SPEC.space, 3, unused) == drawn[3]
    assert draw_unused(SPEC.space, 0, lambda _: False) is None


def test_in_a_space_of_billions_many_draws_are_tried() -> None:
    many = parse_sweep("""
name: many
space: {model: {layer: {kind: conv2d}}, training: {seed: {int: [0, 2000000000]}}}
search: {sampler: random, trials: 3}
""")
    assert draw_unused(many.space, 0, lambda config: config.training.seed % 2 == 1) is not None
    assert draw_unused(many.space, 0, lambda _: False) is None


def test_in_an_infinite_space_many_draws_are_tried() -> None:
    point = draw_unused(CONTINUOUS.space, 0, lambda config: config.training.lr > 0.199)
    assert point is not None
    assert point["space.training.lr"] > 0.199  # type: ignore[operator]
    assert draw_unused(CONTINUOUS.space, 0, lambda _: False) is None
