from dataclasses import replace

from search_spaces import parse_sweep
from tests.tune_jobs.report.drawn import FILE, Sweep, words


def test_seeds_are_chance_and_not_a_choice(sweep: Sweep) -> None:
    text = FILE.replace("epochs: 9}", "epochs: 9, seed: {choice: [0, 1, 2]}}")
    sweep.folder.spec.write_text(text)
    with_seeds = replace(sweep, spec=parse_sweep(text))
    for seed, values in ((0, [0.5, 0.8]), (1, [0.6, 0.3]), (2, [0.7, 0.4])):
        for lr, value in zip((1e-3, 1e-4), values, strict=True):
            point = {"space.model.layer": "conv2d", "space.training.lr": lr, "space.training.seed": seed}
            with_seeds.trial([value] * 9, "complete", point=point)
    said = words(with_seeds.page())
    assert "epoch 9 of 9; its configuration over 3 seeds: 50.00% ± 26.46%" in said
    assert "mean sd seeds lambda k r p aggregation lr trials 60.00% 10.00% 3" in said
    assert said.index("60.00% 10.00% 3") < said.index("50.00% 26.46% 3")
    assert "slice-seed" not in with_seeds.figures()
