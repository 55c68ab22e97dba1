"""`infeasibilities` agrees with the behavior of the model."""

import os
from typing import Any

import pytest
from hypothesis import event, example, given, settings

from search_spaces import TrialConfig, canonical, infeasibilities
from tests.search_spaces.strategies import fixed, models


def trial_of(model: Any) -> TrialConfig:
    return TrialConfig.model_validate({"model": {"name": "vgg11", **model}})


def convnn(**options: Any) -> dict[str, Any]:
    return {"width": 1 / 16, "classifier_width": 4, "layer": {"kind": "convnn", **options}}


EXAMPLES = int(os.environ.get("CONVNN_EXAMPLES", "70"))
"""Number of examples; `make properties` runs thousands."""


@settings(fixed, max_examples=EXAMPLES)
@example(convnn(k=16))
@example(convnn(k=17))
@example(convnn(k=4, padding=0))
@example(convnn(k=5, padding=0))
@example(convnn(k=5, candidates={"kind": "random", "r": 16}))
@example(convnn(k=5, candidates={"kind": "random", "r": 17}))
@example(convnn(k=16, candidates={"kind": "random", "r": 17, "when_too_few": "all"}))
@example(convnn(k=6, candidates={"kind": "random", "r": 5, "when_too_few": "all"}))
@given(models())
def test_feasible_configurations_run_and_infeasible_ones_raise(model: Any) -> None:
    import torch

    from tune_jobs.worker.build import build_model

    trial = trial_of(model)
    image = torch.randn(1, 3, 32, 32)

    def forward(config: TrialConfig) -> torch.Tensor:
        torch.manual_seed(0)
        with torch.no_grad():
            logits: torch.Tensor = build_model(config.model, 10).eval()(image)
            return logits

    found = list(infeasibilities(trial))
    event("infeasible" if found else "feasible")
    if found:
        with pytest.raises(ValueError, match=r"must|needs|fewer than"):
            forward(trial)
    else:
        logits = forward(trial)
        assert logits.isfinite().all()
        assert torch.equal(forward(canonical(trial)), logits)  # the same weights, draws and results
        learner = build_model(trial.model, 10)
        torch.nn.functional.cross_entropy(learner(torch.randn(2, 3, 32, 32)), torch.tensor([3, 7])).backward()
        torch.optim.AdamW(learner.parameters()).step()
        assert all(torch.isfinite(weight).all() for weight in learner.parameters())


FULL: dict[str, dict[str, float]] = {
    "vgg11": {"width": 1.0, "classifier_width": 4096},
    "vit_tiny": {"depth": 12, "dim": 192, "mlp_width": 768},
}


@settings(fixed, max_examples=20)
@given(models().filter(lambda model: not any(infeasibilities(trial_of({**model, **FULL[model["name"]]})))))
def test_feasible_configurations_build_at_full_width(model: Any) -> None:
    import torch

    from tune_jobs.worker.build import build_model

    with torch.device("meta"):
        built = build_model(trial_of({**model, **FULL[model["name"]]}).model, 10)
        assert built(torch.randn(2, 3, 32, 32)).shape == (2, 10)


@settings(fixed, max_examples=150)
@given(models())
def test_canonical_forms_of_feasible_configurations_are_feasible(model: Any) -> None:
    trial = trial_of(model)
    assert any(infeasibilities(trial)) == any(infeasibilities(canonical(trial)))


def test_an_infeasibility_names_the_strictest_layer() -> None:
    trial = trial_of(convnn(k=4, candidates={"kind": "random", "r": 500}))
    (reason,) = infeasibilities(trial)
    assert reason.path == "model.layer.candidates.r"
    assert reason.message == (
        "must be at most 16 for conv7 (2 x 2 tokens, ring 1: 16 candidates), got 500; use a smaller r, or "
        "when_too_few: all."
    )
    assert not any(infeasibilities(trial_of(convnn(k=4, candidates={"kind": "random", "r": 16}))))


def test_k_and_r_are_both_reported() -> None:
    trial = trial_of(convnn(k=40, candidates={"kind": "random", "r": 30}))
    assert [reason.path for reason in infeasibilities(trial)] == ["model.layer.candidates.r", "model.layer.k"]


def test_layers_that_lambda_leaves_without_convnn_channels_set_no_limit() -> None:
    layer = {"kind": "hybrid", "lambda": 0.01, "k": 1000}
    assert not any(infeasibilities(trial_of({"width": 1 / 16, "layer": layer})))
    assert any(infeasibilities(trial_of({"width": 1, "layer": layer})))
