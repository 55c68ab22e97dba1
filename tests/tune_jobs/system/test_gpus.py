from pathlib import Path

from tune_jobs.system.gpus import gpu_names, has_gpu


def test_gpu_names_are_those_of_the_driver(tmp_path: Path) -> None:
    for bus, name in (("0000:8d:00.0", "NVIDIA H200"), ("0000:07:00.0", "NVIDIA H100 80GB HBM3")):
        folder = tmp_path / "proc/driver/nvidia/gpus" / bus
        folder.mkdir(parents=True)
        (folder / "information").write_text(f"Model: \t\t {name}\nIRQ:   \t\t 18\nBus Location: \t {bus}\n")
    assert gpu_names(tmp_path) == ["NVIDIA H100 80GB HBM3", "NVIDIA H200"]


def test_a_machine_without_a_driver_has_no_gpu_names(tmp_path: Path) -> None:
    assert gpu_names(tmp_path) == []
    assert not has_gpu(tmp_path)
