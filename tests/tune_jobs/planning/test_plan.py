import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest

from convnn.data import DATASETS
from search_spaces import load_sweep, parse_sweep
from search_spaces.base import Factory
from search_spaces.models import VGGLayer
from search_spaces.models.vgg import LAYERS
from tests.tune_jobs.planning.planned import spec
from tests.tune_jobs.search.recorded import Recorded
from tests.tune_jobs.search.simulated import opened, train
from tune_jobs.planning.plan import BY_FLOPS, plan


@pytest.mark.parametrize("search", ["{sampler: random, trials: 9}", "{sampler: random, trials: 99}", "{sampler: grid}"])
def test_the_planned_trials_are_the_trials_that_a_search_starts(tmp_path: Path, search: str) -> None:
    sweep = spec(f"search: {search}")
    with opened(tmp_path / "ledger.db") as ledger:
        running = Recorded(sweep, ledger)
        while (job := running.next()) is not None:
            train(running, job, epochs=27)
        assert len(ledger.trials()) == plan(sweep).trials


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


def test_concurrent_trials_are_limited_by_their_number_and_by_the_file() -> None:
    assert plan(spec(), cpus=64).slots == 13
    assert plan(spec("resources: {max_concurrent: 3}"), cpus=64).slots == 3
    assert plan(spec("resources: {max_concurrent: 3}"), cpus=2).slots == 2
    one, three = (plan(spec(f"resources: {{max_concurrent: {n}}}"), throughput=9, cpus=64) for n in (1, 3))
    assert one.wall_hours == pytest.approx(3 * (three.wall_hours or 0))


def test_disk_space_covers_two_checkpoints_of_each_running_trial_and_one_of_each_best() -> None:
    fewest = plan(spec("resources: {keep_best: 0, max_concurrent: 1}"))
    largest = fewest.trial_costs["largest"].checkpoint_gb
    assert fewest.disk_gb > 2 * largest

    def checkpoints(**resources: int) -> float:
        found = plan(spec(f"resources: {resources}".replace("'", "")), cpus=64)
        return 2 + (found.disk_gb - fewest.disk_gb) / largest

    assert checkpoints(max_concurrent=1) == pytest.approx(3)
    assert checkpoints(max_concurrent=5, keep_best=4) == pytest.approx(5 * 2 + 4)
    assert checkpoints(max_concurrent=99, keep_best=99) == pytest.approx(13 * 2 + 13)


def test_disk_space_is_based_on_the_trial_with_the_most_parameters() -> None:
    models = ", ".join(
        f"{{name: vgg11, width: 0.125, classifier_width: {width}, layer: {{kind: conv2d, kernel_size: {size}}}}}"
        for width, size in ((16, 1), (1024, 1), (16, 5), (16, 7))  # the second is neither smallest, median nor largest
    )
    rest = "search: {sampler: grid}\nresources: {max_concurrent: 1, keep_best: 0}\n"
    found = plan(parse_sweep(f"name: sizes\nspace: {{model: {{any_of: [{models}]}}}}\n{rest}"))
    assert found.distinct == 4
    assert found.disk_gb > 2 * 1.3 * max(cost.checkpoint_gb for cost in found.trial_costs.values())


def test_the_smallest_median_and_largest_trial_are_sized_from_their_models() -> None:
    costs = plan(spec()).trial_costs
    assert list(costs) == ["smallest", "median", "largest"]
    assert costs["smallest"].gflops <= costs["median"].gflops <= costs["largest"].gflops
    assert costs["largest"].params["k"] == 16
    assert costs["largest"].memory_gb > costs["largest"].parameters * 16 / 1e9


def test_built_in_models_are_planned_without_torch() -> None:
    code = (
        "import sys; from search_spaces import load_sweep; from tune_jobs.planning.plan import plan\n"
        "for name in ('quickstart', 'table1-cifar10', 'vit-convnn'): assert plan(load_sweep(name)).trial_costs\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_layer_without_closed_forms_is_sized_by_building_it() -> None:
    class Plain(VGGLayer):
        """A convolution without a fuse."""

        kind: Literal["plain"]
        kernel_size: int = 3

        def arguments(self) -> dict[str, Any]:
            options = {"kernel_size": self.kernel_size, "padding": "same"}
            return {"layer": Factory("torch.nn:Conv2d", options)}

    with LAYERS.registered(Plain):
        found = plan(spec(layer=" {kind: plain, kernel_size: {choice: [5, 1, 3]}}"))
    gflops = [cost.gflops for cost in found.trial_costs.values()]
    assert gflops == sorted(set(gflops))
    assert found.sized_by == BY_FLOPS
    assert found.estimates == []  # such a layer was not measured


@pytest.mark.parametrize("name", ["everything", "table2-cifar10", "cifar10-smoke"])
def test_a_preset_can_be_planned(name: str) -> None:
    assert plan(load_sweep(name)).trials > 0


def test_further_seeds_are_planned_for_every_configuration_that_runs_to_its_end(tmp_path: Path) -> None:
    sweep = spec("search: {sampler: grid, repeats: 3}")
    found, one = plan(sweep, throughput=100), plan(spec(), throughput=100)
    assert (found.trials, found.repeats, found.runs) == (one.trials, 3, 3 * one.trials)
    assert found.trial_epochs == 3 * one.trial_epochs
    assert found.cpu_hours == pytest.approx(3 * (one.cpu_hours or 0))
    with opened(tmp_path / "ledger.db") as ledger:
        running = Recorded(sweep, ledger)
        while (job := running.next()) is not None:
            train(running, job, epochs=27)
        assert len(ledger.trials()) == found.runs
    halving = "stopping: {kind: asha, grace_epochs: 3, reduction_factor: 3}"  # 13, 5 and 2 continue
    fewer, first = (plan(spec(f"search: {{sampler: grid, repeats: {n}}}\n{halving}")) for n in (3, 1))
    assert (fewer.runs, first.runs) == (13 + 2 * fewer.ladder[-1].survivors, 13)
    assert fewer.trial_epochs == first.trial_epochs + 27 * 2 * fewer.ladder[-1].survivors
    assert not fewer.at_most
    learnt = plan(spec("search: {sampler: grid, repeats: 3}\nstopping: {kind: median}"))
    assert (learnt.runs, learnt.at_most) == (39, True)
    short = plan(spec("search: {sampler: grid, repeats: 3}\nbudget: {trials: 20}"))
    assert "budget.trials 20 is enough for 20 of 39 trials." in short.warnings
