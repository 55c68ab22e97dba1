import pytest

from search_spaces import TrialConfig
from tune_jobs.record.rows import CONFIRM, Role, Trial
from tune_jobs.results.columns import Column
from tune_jobs.tracking.names import run_name


def named(lr: float = 0.05, repeat_of: str | None = None, role: Role = "search") -> str:
    content = {"model": {"name": "vgg11", "layer": {"kind": "conv2d"}}, "training": {"lr": lr, "seed": 4}}
    trial = Trial("a", 7, TrialConfig.model_validate(content), "complete", None, None, 0, repeat_of, role)
    return run_name(trial, [Column("lr", "lr")])


@pytest.mark.parametrize(
    ("lr", "said"), [(5.8e-4, "lr5.8e-4"), (0.001, "lr1e-3"), (0.05, "lr0.05"), (1.0, "lr1"), (1e-05, "lr1e-5")]
)
def test_a_learning_rate_has_its_usual_notation(lr: float, said: str) -> None:
    assert named(lr) == f"007 {said}"


def test_repeats_and_confirmation_runs_have_distinct_names() -> None:
    assert named(repeat_of="b") == "007 lr0.05 seed4"
    assert named(role=CONFIRM) == "007 lr0.05 confirm seed 4"
