import re
from pathlib import Path

import pytest

from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tune_jobs.planning import plan as planning
from tune_jobs.worker import sizing

DAY = r"\d{4}-\d\d-\d\d"


def test_the_plan_is_complete_as_text_and_as_json(tmp_path: Path) -> None:
    said = invoke("plan", "quickstart", "--throughput", "1000", storage=tmp_path)
    for part in ("trials: 9, ", "after epoch 3 about 3 continue", "smallest", "of CPU, ", "disk: about ", "MLflow: "):
        assert part in said
    limits = [f"--set=budget.{limit}" for limit in ("cpu_hours=2", "wall_hours=1.5", "trials=20")]
    said = invoke("plan", "quickstart", "--throughput", "0.5", *limits, storage=tmp_path)
    number = r"about [0-9.]+ of"
    assert re.search(f"\nbudget: {number} 2 CPU-hours, {number} 1.5 hours of running, 9 of 20 trials\n", said)
    told = invoke_json("plan", "quickstart", storage=tmp_path)
    assert (told["trials"], told["wall_hours"], told["trial_costs"]["median"]["images_per_s"]) == (9, None, None)


def test_with_a_rule_that_depends_on_results_the_plan_is_an_upper_bound(tmp_path: Path) -> None:
    said = invoke("plan", "quickstart", "--set=stopping={kind: median}", storage=tmp_path)
    assert re.search(r"\ntrials: 9, at most [\d,]+ epochs in total, ", said)
    assert "the savings of the stopping rule are unknown before trials run" in said


def test_without_a_speed_the_plan_has_ranges_of_hours_on_known_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "gpu_names", list)
    said = invoke("plan", "table1-cifar10", storage=tmp_path)
    assert "time: unknown; add --throughput, or --measure to measure it here\n" in said
    number = r"[\d.,]+"
    ranges = re.findall(rf"  on (.+) \(recorded {DAY}, version [\d.]+\): {number} to {number} (.PU-hours)\n", said)
    assert ranges == [
        ("an NVIDIA H200", "GPU-hours"),
        ("an NVIDIA H100 80GB HBM3", "GPU-hours"),
        ("2 cores of an AMD EPYC, Zen 4", "CPU-hours"),
    ]
    assert "(without decoding images, the first compilation and starting Ray)" in said
    assert re.search(
        rf"on 2 cores .+: {number} to {number} CPU-minutes\n", invoke("plan", "quickstart", storage=tmp_path)
    )
    told = invoke_json("plan", "table1-cifar10", storage=tmp_path)["estimates"]
    monkeypatch.setattr(planning, "gpu_names", lambda: ["NVIDIA H100 80GB HBM3"])
    assert "--measure to measure it here\n  on an NVIDIA H100 80GB HBM3, as on this machine (" in invoke(
        "plan", "table1-cifar10", storage=tmp_path
    )
    assert all(0 < each["low"] < each["high"] for each in told)
    assert [each["unit"] for each in told] == [unit for _, unit in ranges]
    assert "recorded" not in invoke("plan", "table1-cifar10", "--throughput", "1000", storage=tmp_path)


def test_measuring_gives_a_speed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizing, "MEASURE_S", 0.3)  # the README's test uses the real duration
    told = invoke_json("plan", "quickstart", "--measure", storage=tmp_path)
    assert all(cost["images_per_s"] > 1 for cost in told["trial_costs"].values())
    assert told["speed_from"] == "measured on this machine"
    assert told["wall_hours"] > 0
    both = invoke("plan", "quickstart", "--measure", "--throughput", "5", storage=tmp_path, expect=2)
    assert "--throughput and --measure both give the speed" in both


def test_one_is_not_printed_as_a_plural(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(
        "name: one\nspace: {data: {limit: 10}, model: {layer: {kind: conv2d}}, training: {epochs: 1}}\n"
        "budget: {trials: 1, cpu_hours: 1}\n"
    )
    said = invoke("plan", tmp_path / "one.yaml", storage=tmp_path) + invoke(
        "validate", tmp_path / "one.yaml", storage=tmp_path
    )
    assert "one: 1 configuration\n" in said
    assert "1 epoch in total" in said
    assert "budget: 1 CPU-hour, 1 of 1 trial\n" in said
    assert not re.search(r"\b1 (?!GB)[A-Za-z-]+s\b", said), said


def test_a_smoke_test_is_planned_under_its_own_name(tmp_path: Path) -> None:
    found = invoke_json("plan", "table1-cifar10", "--smoke", storage=tmp_path)
    assert (found["name"], found["trials"], found["trial_epochs"]) == ("table1-cifar10-smoke", 17, 34)
