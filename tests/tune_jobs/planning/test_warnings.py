from pathlib import Path

import pytest

from tests.tune_jobs.planning.planned import spec
from tune_jobs.planning import plan as planning
from tune_jobs.planning import warnings
from tune_jobs.planning.plan import plan
from tune_jobs.system.cpus import Cpus


@pytest.mark.parametrize(
    ("rest", "training", "said"),
    [
        ("search: {sampler: random, trials: 99}", "epochs: 2", "search.trials is 99 and the space has 13 different"),
        ("", "lr: 1e-9", "training.lr goes down to 1e-09; below 1e-07 nothing is learned"),
        ("", "lr: 5", "training.lr goes up to 5; above 1 trials diverge"),
        ("", "batch_size: 4096", "training.batch_size 4096 is more than the 1,298 images of an epoch"),
        ("stopping: {kind: asha, grace_epochs: 3}", "epochs: 4", "grace_epochs 3 of 4 epochs leaves little to save"),
        ("", "seed: {int: [0, 10], step: 4}", "training.seed: steps of 4 from 0 end at 8; 10 is not reached"),
        ("", "epochs: 150, seed: {choice: [0, 1]}", "all 26 trials train for all 150 epochs"),
    ],
)
def test_probable_mistakes_give_warnings(rest: str, training: str, said: str) -> None:
    found = plan(spec(rest, training=training))
    assert any(said in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ("budget: {trials: 12}", ["budget.trials 12 is enough for 12 of 13 trials."]),
        ("budget: {trials: 13, wall_hours: 9, cpu_hours: 9}", []),
        ("budget: {cpu_hours: 1}", ["budget.cpu_hours 1 is enough for about 3 of 13 trials; all need 4."]),
        ("budget: {wall_hours: 0.4}", ["budget.wall_hours 0.4 is enough for about 2 of 13 trials; all need 2."]),
        (
            "budget: {gpu_hours: 0.5, trials: 1}\nresources: {gpus_per_trial: 0.5}",
            [
                "budget.gpu_hours 0.5 is enough for about 3 of 13 trials; all need 2.",
                "budget.trials 1 is enough for 1 of 13 trials.",
            ],
        ),
        (
            "resources: {max_trial_hours: 0.3}",
            ["resources.max_trial_hours 0.3 ends a trial of 27 epochs, which takes about 0.308 h."],
        ),
        ("resources: {max_trial_hours: 0.4}", []),
    ],
)
def test_a_budget_that_is_too_small_gives_a_warning(limits: str, said: list[str]) -> None:
    images = 1298 + 144 / 3  # per epoch
    found = plan(spec(limits), throughput=13 * 27 * images / 3600 / 4, cpus=2)
    assert found.cpu_hours == pytest.approx(4, rel=0.01)
    assert [line for line in found.warnings if "budget" in line or "hours" in line] == said
    if "trials" not in limits:
        assert not any("budget" in line or "hours" in line for line in plan(spec(limits)).warnings)  # no known speed


def test_trials_that_do_not_fit_into_this_machine_give_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "usable_memory_gb", lambda: 1.5)
    monkeypatch.setattr(planning, "usable_cpus", lambda: Cpus(2, 2, None))
    one, two = (plan(spec(f"resources: {{max_concurrent: {n}}}")) for n in (1, 2))
    assert one.warnings == []
    (said,) = two.warnings
    assert said.startswith(
        f"2 trials at a time may need {2 * two.memory_gb:.3g} GB of memory, but this machine has 1.5"
    )


def test_a_plan_for_another_machine_has_no_warnings_about_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warnings, "usable_memory_gb", lambda: 0.1)
    monkeypatch.setattr(warnings, "has_gpu", lambda: False)
    elsewhere = spec(data=f"{{name: cifar10, root: {tmp_path}}}")
    gpu = spec("resources: {gpus_per_trial: 1}")
    assert plan(elsewhere).warnings
    assert plan(gpu).warnings
    assert plan(elsewhere, cpus=64).warnings == []
    assert plan(gpu, gpus=1).warnings == plan(gpu, cpus=64, gpus=8).warnings == []


def test_trials_that_ask_for_more_cpus_than_the_other_machine_has_give_a_warning() -> None:
    wide = spec("resources: {cpus_per_trial: 512}")
    assert plan(wide, cpus=512).warnings == []
    assert plan(wide, cpus=16).warnings == ["resources.cpus_per_trial is 512, but the plan is for 16 CPUs."]
    assert any("512, but the CPUs that can be used here are" in line for line in plan(wide).warnings)


def test_missing_gpus_and_images_on_this_machine_give_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "has_gpu", lambda: False)
    sweep = spec("resources: {gpus_per_trial: 1}", data=f"{{name: cifar10, root: {tmp_path}}}")
    gpu, data = plan(sweep).warnings
    assert gpu.startswith("resources.gpus_per_trial is 1, and this machine has no GPU")
    assert data.startswith(f"cifar10 is not in {tmp_path} on this machine; the first trial downloads it")
    (tmp_path / "cifar-10-python.tar.gz").touch()
    assert plan(sweep).warnings == [gpu]


def test_a_classifier_that_is_nearly_the_whole_model_gives_a_warning() -> None:
    wide = spec(layer=" {kind: conv2d}", classifier=4096)
    (said,) = plan(wide).warnings
    assert said.startswith("the classifier holds 99.")
    assert said.endswith("% of the parameters of the largest trial; lower model.classifier_width.")


def test_a_sound_plan_has_no_warning() -> None:
    assert plan(spec()).warnings == []
