"""Estimates for known devices match the recorded speeds, and each range contains every recorded case."""

import re
from pathlib import Path

import pytest

from convnn.data import DATASETS
from search_spaces import SweepSpec, load_sweep, parse_sweep
from search_spaces.reading.document import dumped
from tests.tune_jobs.planning.planned import spec
from tune_jobs.planning import plan as planning
from tune_jobs.planning.devices import CPU_THREADS, DEVICES, Device, Estimate, Speed
from tune_jobs.planning.plan import EVALUATION, plan

ROOT = Path(__file__).parents[3]
CASES = [(device, speed) for device in DEVICES for speed in device.speeds]
H200, CPU = DEVICES[0], DEVICES[-1]


@pytest.fixture(autouse=True)
def no_gpu_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "gpu_names", list)


def sweep_of(device: Device, speed: Speed, epochs: int = 1) -> SweepSpec:
    """Return a sweep of one trial, the measured one."""
    gpus = int(device.unit == "GPU-hours")
    space = {"data": {"name": "cifar10"}, "model": speed.model, "training": {**speed.training, "epochs": epochs}}
    resources = {"gpus_per_trial": gpus, "cpus_per_trial": CPU_THREADS}
    return parse_sweep(dumped({"name": "recorded", "space": space, "resources": resources}))


def estimate(sweep: SweepSpec, device: Device) -> Estimate:
    return next(each for each in plan(sweep).estimates if each.device == device.name)


@pytest.mark.parametrize(
    ("device", "speed"),
    CASES,
    ids=[f"{device.name}, {speed.case}, {speed.images_per_s:.0f}" for device, speed in CASES],
)
def test_every_recorded_case_lies_in_its_estimated_range(device: Device, speed: Speed) -> None:
    found = estimate(sweep_of(device, speed), device)
    images = DATASETS["cifar10"].train_images * 0.9 + EVALUATION * DATASETS["cifar10"].train_images * 0.1
    hours = images / speed.images_per_s / 3600 * (CPU_THREADS if device is CPU else 1)
    assert found.low * device.faster <= hours * 1.001  # even without the widening of the range
    assert hours <= found.high / device.slower * 1.001
    assert found.high < 15 * found.low


def rows(device: Device) -> list[str]:
    """Return the images per second, or milliseconds per step, in the tables of a device's file."""
    text = (ROOT / device.source).read_text()
    if device is CPU:
        steps = text.partition("## Steps")[2].partition("## ")[0]
        return re.findall(r"^\| .+ \| [\d.]+ \| ([\d.]+) \| [\d.]+ \(", steps, re.MULTILINE)
    return re.findall(r"^\| (?:VGG-11|ViT-Tiny) \| [^|]+ \| (?:fp32|tf32|bf16) \| ([\d,]+) \|", text, re.MULTILINE)


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.name)
def test_the_recorded_speeds_match_the_benchmarks_file(device: Device) -> None:
    text = (ROOT / device.source).read_text()
    said = [f"{1000 * each.step_s:.1f}" if device is CPU else f"{each.images_per_s:,.0f}" for each in device.speeds]
    assert all(re.search(rf"[ |]{number}\b", text) for number in said)
    assert set(rows(device)) <= set(said)
    assert len(rows(device)) >= 8
    assert device.recorded in device.source
    assert device.recorded in text.partition("\n")[0]


def test_the_recorded_time_of_the_quickstart_lies_in_its_range() -> None:
    found = estimate(load_sweep("quickstart"), CPU)
    assert found.low < 2 * 62.9 / 3600  # two cores from start to end, including the start of Ray
    assert found.high > 2 * 68.2 / 3600


def test_the_hours_cover_all_trials() -> None:
    one, nine = (estimate(sweep_of(H200, H200.speeds[0], epochs), H200) for epochs in (1, 9))
    assert (nine.low, nine.high) == pytest.approx((9 * one.low, 9 * one.high))


def test_a_sweep_of_several_sizes_takes_the_mean_time() -> None:
    layers = ["{kind: conv2d}", "{kind: convnn, k: 9}"]
    text = (
        "name: a\nspace: {{data: {{name: cifar10}}, model: {{layer: {{any_of: [{}]}}}}}}\nsearch: {{sampler: grid}}\n"
    )
    both = estimate(parse_sweep(text.format(", ".join(layers))), H200)
    parts = [estimate(parse_sweep(text.format(layer)), H200) for layer in layers]
    assert both.low == pytest.approx(sum(part.low for part in parts))
    assert both.high == pytest.approx(sum(part.high for part in parts))


def test_layers_by_depth_have_an_estimate_between_those_of_their_layers() -> None:
    text = "name: a\nspace: {{data: {{name: cifar10}}, model: {{{}}}}}\nsearch: {{sampler: grid}}\n"
    conv, half = "{kind: conv2d}", "{kind: hybrid, lambda: 0.5}"
    layers = f"layer: {conv}", f"layers: {{conv1-conv4: {conv}, conv5-conv8: {half}}}", f"layer: {half}"
    low, mixed, high = (estimate(parse_sweep(text.format(each)), H200) for each in layers)
    assert low.low < mixed.low < high.low


def test_a_small_model_is_not_assumed_to_be_as_fast_as_its_flops() -> None:
    """A step starts the same number of operations for any model size; on a GPU they take most of the time."""
    tiny = estimate(spec("resources: {gpus_per_trial: 1}", layer=" {kind: conv2d}"), H200)
    steps = 27 * (1298 + 144 / 3) / 256
    assert tiny.low >= steps * 0.002 / 3600
    assert tiny.high >= steps * H200.speeds[0].step_s / 3600


def test_a_model_larger_than_the_measured_ones_takes_longer_in_proportion_to_its_flops() -> None:
    def of_width(width: int) -> tuple[float, Estimate]:
        model = {"name": "vgg11", "width": width, "layer": {"kind": "convnn", "k": 9}}
        sweep = sweep_of(H200, Speed("", model, {}, 1))
        return plan(sweep).trial_costs["median"].gflops, estimate(sweep, H200)

    (gflops, one), (more_gflops, three) = of_width(1), of_width(3)
    more = more_gflops / gflops
    assert more > 4
    assert (three.low, three.high) == pytest.approx((more * one.low, more * one.high), rel=0.02)


def test_trials_that_share_a_gpu_take_no_more_of_it_than_alone() -> None:
    alone, shared = (
        estimate(spec(f"resources: {{gpus_per_trial: {gpus}}}", layer=" {kind: conv2d}"), H200) for gpus in (1, 0.25)
    )
    assert shared.low < alone.low
    assert shared.high == alone.high


def test_more_cpus_for_a_trial_may_not_help() -> None:
    one, two, eight = (
        estimate(spec(f"resources: {{cpus_per_trial: {cpus}}}", layer=" {kind: conv2d}"), CPU) for cpus in (1, 2, 8)
    )
    assert (one.low, one.high) == pytest.approx((two.low / 2, two.high))
    assert (eight.low, eight.high) == pytest.approx((two.low, 4 * two.high))


def test_models_and_precisions_not_measured_on_a_device_have_no_estimate_there() -> None:
    def devices(sweep: SweepSpec) -> list[str]:
        return [each.device for each in plan(sweep).estimates]

    gpus = [device.name for device in DEVICES if device is not CPU]
    on_gpu = "resources: {gpus_per_trial: 1}"
    assert devices(spec(layer=" {kind: conv2d}", training="precision: bf16")) == gpus
    assert devices(spec(on_gpu, layer=" {kind: conv2d}", training="precision: {choice: [fp32, tf32]}")) == gpus
    assert devices(load_sweep("vit-convnn")) == [H200.name, CPU.name]


def test_this_machines_gpu_comes_first_then_what_the_trials_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    h100 = DEVICES[1].name
    on_gpu, on_cpu = spec("resources: {gpus_per_trial: 1}"), spec()
    assert [each.device for each in plan(on_gpu).estimates] == [H200.name, h100, CPU.name]
    assert [each.device for each in plan(on_cpu).estimates] == [CPU.name, H200.name, h100]
    monkeypatch.setattr(planning, "gpu_names", lambda: ["NVIDIA T4", h100])
    for sweep in (on_gpu, on_cpu):
        first, *others = plan(sweep).estimates
        assert (first.device, first.here) == (h100, True)
        assert not any(other.here for other in others)
    assert not any(each.here for each in plan(on_gpu, gpus=4).estimates)  # a plan for another machine
