import pytest

from search_spaces import SpecError, parse_sweep
from tests.search_spaces.read import complaint

TEXT = """
name: small
space:
  data: {name: digits, root: ~/data}
  model: {layer: {kind: hybrid, lambda: {choice: [0.25, 0.5]}, k: {choice: [4, 9]}}}
  training: {epochs: 9}
"""


def test_grace_is_compared_with_the_longest_training_of_any_branch() -> None:
    text = TEXT.replace("{epochs: 9}", "{any_of: [{epochs: 9}, {lr: 0.1}]}")  # the second trains for 150
    assert parse_sweep(text + "stopping: {kind: asha, grace_epochs: 20}").name == "small"


@pytest.mark.parametrize(
    ("rule", "field", "rest"),
    [
        (
            "hyperband, grace_epochs: 9",
            "grace_epochs",
            "below the number of epochs (9), or no trial can stop early; got 9",
        ),
        (
            "median, grace_epochs: 12",
            "grace_epochs",
            "below the number of epochs (9), or no trial can stop early; got 12",
        ),
        (
            "patience, patience_epochs: 8",
            "patience_epochs",
            "below the number of epochs after the first (8), or no trial",
        ),
    ],
)
def test_a_rule_that_cannot_stop_any_trial_is_rejected(rule: str, field: str, rest: str) -> None:
    assert f"stopping.{field} must be {rest}" in complaint(TEXT + f"stopping: {{kind: {rule}}}")


def test_settings_and_geometry_are_checked_together() -> None:
    text = TEXT.replace("[4, 9]", "[400]").replace("small", "a b") + "objective: {metric: test/loss}"
    assert [line.split(": ")[1].split(" ")[0] for line in complaint(text).splitlines()] == [
        "name",
        "space.model.layer.k",
    ]
    text = TEXT.replace("[4, 9]", "[400]") + "objective: {metric: test/loss}"
    assert [line.split(": ")[1].split(" ")[0] for line in complaint(text).splitlines()] == [
        "space.model.layer.k",
        "objective.metric",
    ]


SPEC = """
name: large
space:
  data: {{name: cifar10}}
  model: {{name: vgg11, width: {{choice: [0.125, 1, 4]}}, layer: {{kind: conv2d}}}}
resources: {{gpus_per_trial: {share}, gpu_mem_gb: {limit}}}
"""


def test_a_sweep_without_a_trial_that_fits_is_rejected() -> None:
    with pytest.raises(SpecError) as caught:
        parse_sweep(SPEC.format(share=0.25, limit=1))
    assert "resources.gpu_mem_gb leaves no trial: training.batch_size needs at least" in str(caught.value)
    with pytest.raises(SpecError, match="gpu_mem_gb needs gpus_per_trial above 0, got 0"):
        parse_sweep(SPEC.format(share=0, limit=8))


def test_memory_is_not_blamed_if_the_geometry_excludes_everything() -> None:
    text = TEXT.replace("[4, 9]", "[4000]") + "resources: {gpus_per_trial: 1, gpu_mem_gb: 80}"
    assert complaint(text).startswith("sweep.yaml:5:67: space.model.layer.k must be at most 16 for conv7")
    assert "gpu_mem_gb" not in complaint(text)
