import pytest

from search_spaces import parse_sweep

TEXT = """
name: small
space:
  data: {name: digits, root: ~/data}
  model: {layer: {kind: hybrid, lambda: {choice: [0.25, 0.5]}, k: {choice: [4, 9]}}}
  training: {epochs: 9}
"""


def test_a_sweep_is_summarized() -> None:
    assert parse_sweep(TEXT + "search: {sampler: random, trials: 3}").describe() == {
        "name": "small",
        "sampler": "random",
        "trials": 3,
        "repeats": 1,
        "stopping": "none",
        "protocol": "holdout",
        "objective": {"metric": "val/accuracy", "goal": "maximize"},
        "domains": {"space.model.layer.lambda": "one of 0.25, 0.5", "space.model.layer.k": "one of 4, 9"},
        "constraints": [],
        "points": 4,
    }


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        ("clip_norm: {choice: [null, 1.5]}", "one of null, 1.5"),
        ("compile: {choice: [true, false]}", "one of true, false"),
        ("batch_size: {int: [32, 65536], log: true}", "32 to 65536, logarithmic"),
        ("lr: {log_uniform: [1e-5, 1e-1]}", "1e-05 to 0.1, logarithmic"),
        ("seed: {int: [0, 1234567]}", "0 to 1234567"),
    ],
)
def test_a_domain_is_described_in_a_few_words(domain: str, words: str) -> None:
    text = TEXT.replace("epochs: 9", domain) + "search: {sampler: random, trials: 3}"
    assert list(parse_sweep(text).describe()["domains"].values())[-1] == words


def test_the_planned_number_of_trials_is_known_if_possible() -> None:
    layer = "{kind: hybrid, lambda: {choice: [0, 0.5, 1]}, k: {choice: [4, 9]}}"
    text = f"name: a\nspace: {{model: {{layer: {layer}}}}}\n"
    assert parse_sweep(text).planned() == 1 + 2 + 2  # lambda 0 has no k
    assert parse_sweep(text + "search: {sampler: random, trials: 3}").planned() == 3
    assert parse_sweep(text + "search: {sampler: random, trials: 30}").planned() == 5
    lr = "training: {lr: {uniform: [0.1, 0.2]}}"
    free = f"name: a\nspace: {{model: {{layer: {{kind: conv2d}}}}, {lr}}}\nsearch: {{sampler: random, trials: 7}}"
    assert parse_sweep(free).planned() == 7
