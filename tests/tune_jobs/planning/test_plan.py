import re
from pathlib import Path

import pytest

from convnn.data import DATASETS, load_dataset
from search_spaces import Decided, SweepSpec, load_sweep, parse_sweep
from tests.tune_jobs.program import convnn, convnn_json
from tests.tune_jobs.search.test_queue import opened, train
from tune_jobs.planning.plan import plan
from tune_jobs.search.queue import Search
from tune_jobs.worker import attempt
from tune_jobs.worker.checkpoints import OneFile
from tune_jobs.worker.sizing import cost_of, work

LAYER = """
      kind: hybrid
      lambda: {choice: [0, 0.25, 0.5, 1]}
      k: {choice: [4, 9, 16]}
      padding: {choice: [0, 1]}
"""


def spec(rest: str = "", layer: str = LAYER, training: str = "epochs: 27") -> SweepSpec:
    return parse_sweep(f"""
name: planned
space:
  data: {{name: digits}}
  model:
    width: 0.125
    classifier_width: 32
    layer:{layer}
  training: {{{training}}}
{rest}
""")


def test_points_are_counted_as_what_cannot_run_what_repeats_and_what_is_left() -> None:
    found = plan(spec())
    assert (found.points, found.looked_at) == (24, 24)
    # lambda 0 is one trial; of the other 3 x 3 x 2, k 9 and 16 do not fit 2 x 2 tokens without a ring
    assert (found.distinct, sum(found.infeasible.values())) == (1 + 3 * 4, 3 * 2)
    assert found.equivalent == 24 - 6 - 13
    assert any("at most 4 for conv7" in reason for reason in found.infeasible)
    assert found.trials == 13


@pytest.mark.parametrize("search", ["{sampler: random, trials: 9}", "{sampler: random, trials: 99}", "{sampler: grid}"])
def test_the_trials_that_are_planned_are_the_trials_that_a_search_hands_out(tmp_path: Path, search: str) -> None:
    sweep = spec(f"search: {search}")
    with opened(tmp_path / "ledger.db") as ledger:
        running = Search(sweep, ledger)
        while (job := running.next()) is not None:
            train(running, job, epochs=27)
        assert len(ledger.trials()) == plan(sweep).trials


def test_a_ladder_keeps_a_share_at_each_rung_and_its_epochs_add_up() -> None:
    found = plan(spec("stopping: {kind: asha, grace_epochs: 3, reduction_factor: 3}\nsearch: {sampler: grid}"))
    assert [(rung.epoch, rung.survivors) for rung in found.ladder] == [(3, 5), (9, 2)]
    assert found.trial_epochs == 13 * 3 + 5 * (9 - 3) + 2 * (27 - 9)
    assert plan(spec()).trial_epochs == 13 * 27


def test_hours_follow_from_the_throughput() -> None:
    found = plan(spec("evaluation: {protocol: holdout, fraction: 0.5}"), throughput=100, cpus=4)
    images = DATASETS["digits"].train_images / 2
    assert found.images_per_epoch == images
    assert found.cpu_hours == pytest.approx(13 * 27 * images * (1 + 1 / 3) / 100 / 3600)
    assert found.wall_hours == pytest.approx((found.cpu_hours or 0) / 4)
    assert found.gpu_hours is None
    shared = spec("resources: {gpus_per_trial: 0.25, cpus_per_trial: 1}")
    gpu = plan(shared, throughput=100, cpus=16, gpus=2)
    assert gpu.slots == 8
    assert gpu.gpu_hours == pytest.approx((gpu.cpu_hours or 0) / 4)
    assert plan(spec()).wall_hours is None


def test_no_more_trials_run_at_a_time_than_there_are_or_than_the_file_allows() -> None:
    assert plan(spec(), cpus=64).slots == 13
    assert plan(spec("resources: {max_concurrent: 3}"), cpus=64).slots == 3
    assert plan(spec("resources: {max_concurrent: 3}"), cpus=2).slots == 2
    one, three = (plan(spec(f"resources: {{max_concurrent: {n}}}"), throughput=9, cpus=64) for n in (1, 3))
    assert one.wall_hours == pytest.approx(3 * (three.wall_hours or 0))


def test_disk_is_for_two_checkpoints_of_each_running_trial_and_one_of_the_best() -> None:
    fewest = plan(spec("resources: {keep_best: 0, max_concurrent: 1}"))
    largest = fewest.trial_costs["largest"].checkpoint_gb
    assert fewest.disk_gb > 2 * largest

    def checkpoints(**resources: int) -> float:
        found = plan(spec(f"resources: {resources}".replace("'", "")), cpus=64)
        return 2 + (found.disk_gb - fewest.disk_gb) / largest

    assert checkpoints(max_concurrent=1) == pytest.approx(3)
    assert checkpoints(max_concurrent=5, keep_best=4) == pytest.approx(5 * 2 + 4)
    assert checkpoints(max_concurrent=99, keep_best=99) == pytest.approx(13 * 2 + 13)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_checkpoint_is_as_large_as_planned(tmp_path: Path, optimizer: str) -> None:
    sweep = spec(layer=" {kind: conv2d}", training=f"epochs: 1, optimizer: {optimizer}")
    (config, file) = sweep.space.resolve(Decided({})), tmp_path / "checkpoint.pt"
    list(attempt.train(config, sweep.evaluation, threads=1, checkpoints=OneFile(file, every_s=0)))
    assert file.stat().st_size / 1e9 == pytest.approx(cost_of(config, None).checkpoint_gb, rel=0.1)


def test_the_smallest_median_and_largest_trial_are_sized_from_their_models() -> None:
    costs = plan(spec()).trial_costs
    assert list(costs) == ["smallest", "median", "largest"]
    assert costs["smallest"].gflops <= costs["median"].gflops <= costs["largest"].gflops
    assert costs["largest"].params["k"] == 16
    assert costs["largest"].memory_gb > costs["largest"].parameters * 16 / 1e9


def test_the_closed_form_orders_trials_as_their_flops_do() -> None:
    sweep = spec(layer="\n      kind: convnn\n      k: {choice: [2, 4, 8]}\n      patch: {choice: [1, 2]}\n")
    configs = [sweep.space.resolve(Decided(point)) for point in sweep.space.points()]
    by_work = sorted(configs, key=work)
    flops = [cost_of(config, None).gflops for config in by_work]
    assert flops == sorted(flops)


def test_the_closed_form_orders_attentions_as_their_flops_do() -> None:
    kinds = """
name: vits
space:
  model:
    name: vit_tiny
    depth: 1
    attention:
      any_of:
        - {kind: attention}
        - {kind: local, head_dim: 64}
        - {kind: convnn, aggregation: {choice: [standard, depthwise, depthwise_separable]}}
        - {kind: convnn, candidates: {kind: random, r: 32}}
        - {kind: hybrid, lambda: 0.5}
"""
    space = parse_sweep(kinds).space
    by_work = sorted((space.resolve(Decided(point)) for point in space.points()), key=work)
    flops = [cost_of(config, None).gflops for config in by_work]
    assert flops == sorted(flops)


def test_a_continuous_space_is_judged_by_draws() -> None:
    found = plan(spec("search: {sampler: tpe, trials: 40}", training="lr: {log_uniform: [1e-5, 1e-3]}"))
    assert (found.points, found.looked_at, found.trials) == (None, 2000, 40)
    assert 0.15 < sum(found.infeasible.values()) / 2000 < 0.35  # 6 of 24


@pytest.mark.parametrize(
    ("rest", "training", "said"),
    [
        ("search: {sampler: random, trials: 99}", "epochs: 2", "search.trials is 99 and the space has 13 different"),
        ("", "lr: 1e-9", "training.lr goes down to 1e-09; below 1e-07 nothing is learned"),
        ("", "lr: 5", "training.lr goes up to 5; above 1 trials diverge"),
        ("", "batch_size: 4096", "training.batch_size 4096 is more than the 1298 images of an epoch"),
        ("stopping: {kind: asha, grace_epochs: 3}", "epochs: 4", "grace_epochs 3 of 4 epochs leaves little to save"),
        ("", "epochs: 150, seed: {choice: [0, 1]}", "all 26 trials train for all 150 epochs"),
    ],
)
def test_what_is_probably_a_mistake_is_said(rest: str, training: str, said: str) -> None:
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
def test_a_budget_that_is_too_small_is_known_before(limits: str, said: list[str]) -> None:
    images = 1298 + 144 / 3  # of an epoch
    found = plan(spec(limits), throughput=13 * 27 * images / 3600 / 4, cpus=2)
    assert found.cpu_hours == pytest.approx(4, rel=0.01)
    assert [line for line in found.warnings if "budget" in line or "hours" in line] == said
    if "trials" not in limits:
        assert not any("budget" in line or "hours" in line for line in plan(spec(limits)).warnings)  # no speed


def test_a_sound_plan_has_no_warning() -> None:
    assert plan(spec()).warnings == []


def test_the_facts_of_a_data_set_are_those_of_its_images() -> None:
    data = load_dataset("digits")
    assert (len(data.train), len(data.test)) == (data.facts.train_images, data.facts.test_images)


def test_the_command_says_it_all_to_people_and_to_programs(tmp_path: Path) -> None:
    said = convnn("plan", "quickstart", "--throughput", "1000", storage=tmp_path)
    for part in ("trials: 9, ", "after epoch 3 about 3 go on", "smallest", "of CPU, ", "disk: about ", "MLflow: "):
        assert part in said
    limits = [f"--set=budget.{limit}" for limit in ("cpu_hours=2", "wall_hours=1.5", "trials=20")]
    said = convnn("plan", "quickstart", "--throughput", "0.5", *limits, storage=tmp_path)
    number = r"about [0-9.]+ of"
    assert re.search(f"\nbudget: {number} 2 CPU-hours, {number} 1.5 hours of running, 9 of 20 trials\n", said)
    told = convnn_json("plan", "quickstart", storage=tmp_path)
    assert (told["trials"], told["wall_hours"], told["trial_costs"]["median"]["images_per_s"]) == (9, None, None)
    assert "time: unknown; give --throughput, or --measure it here" in convnn("plan", "quickstart", storage=tmp_path)


def test_measuring_gives_a_speed(tmp_path: Path) -> None:
    told = convnn_json("plan", "quickstart", "--measure", storage=tmp_path)
    assert all(cost["images_per_s"] > 1 for cost in told["trial_costs"].values())
    assert told["speed_from"] == "measured on this machine"
    assert told["wall_hours"] > 0
    both = convnn("plan", "quickstart", "--measure", "--throughput", "5", storage=tmp_path, expect=2)
    assert "--throughput and --measure both give the speed" in both


@pytest.mark.parametrize("name", ["everything", "table2-cifar10", "cifar10-smoke"])
def test_a_preset_can_be_planned(name: str) -> None:
    assert plan(load_sweep(name)).trials > 0
