from dataclasses import replace
from typing import Any

from search_spaces import Decided, parse_sweep
from tests.tune_jobs.report.drawn import FILE, Sweep, words
from tune_jobs.results.seeds import repeats
from tune_jobs.results.summary import summary


def test_seeds_are_not_a_parameter(sweep: Sweep) -> None:
    text = FILE.replace("epochs: 9}", "epochs: 9, seed: {choice: [0, 1, 2]}}")
    sweep.folder.spec.write_text(text)
    with_seeds = replace(sweep, spec=parse_sweep(text))
    for seed, values in ((0, [0.5, 0.8]), (1, [0.6, 0.3]), (2, [0.7, 0.4])):
        for lr, value in zip((1e-3, 1e-4), values, strict=True):
            point = {"space.model.layer": "conv2d", "space.training.lr": lr, "space.training.seed": seed}
            with_seeds.trial([value] * 9, "complete", point=point)
    said = words(with_seeds.page())
    assert "epoch 9 of 9; its configuration over 3 seeds: 50.00% ± 26.46%" in said
    assert "mean sd seeds lr trials 60.00% 10.00% 3" in said
    assert said.index("60.00% 10.00% 3") < said.index("50.00% 26.46% 3")
    assert "slice-seed" not in with_seeds.figures()


TWICE = """
name: twice
space:
  model:
    layer:
      kind: convnn
      k: 4
      padding: {choice: [0, 1]}
      candidates: {kind: lattice, side: 2}
  training: {epochs: 1, seed: {choice: [0, 1]}}
search: {sampler: grid}
"""
"""Today, padding has no effect here; an earlier version trained each of these."""


def test_a_run_recorded_under_two_keys_is_one_seed(sweep: Sweep) -> None:
    spec = parse_sweep(TWICE)
    for number, (padding, seed) in enumerate(((0, 0), (1, 0), (1, 1))):
        point: dict[str, Any] = {"space.model.layer.padding": padding, "space.training.seed": seed}
        key = f"{number:016x}-s{seed}"
        sweep.ledger.add_trial(point, spec.space.resolve(Decided(point)), key)
        attempt = sweep.ledger.start_attempt(key)
        sweep.ledger.add_epoch(key, attempt, 1, {"val/accuracy": 0.5 + seed / 10})
        sweep.ledger.end_attempt(key, attempt, "complete")
    (found,) = repeats(summary("twice", sweep.ledger).rows, "maximize")
    assert sorted(found.values) == [0.5, 0.6]
