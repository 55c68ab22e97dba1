"""`convnn doctor` on this machine, with a folder and a server that are really broken."""

from pathlib import Path

from tests.tune_jobs.program import convnn
from tests.tune_jobs.servers import free_port


def test_doctor_prints_one_line_per_check_with_its_fix(tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    said = convnn(
        "doctor",
        "quickstart",
        "--set",
        "resources.gpus_per_trial=1",
        storage=tmp_path / "a file" / "sweeps",
        MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}",
        CUDA_VISIBLE_DEVICES="",
        expect=1,
    )
    lines = {line.split()[1]: line for line in said.splitlines()}
    assert list(lines) == ["versions", "storage", "data", "cpus", "sockets", "gpu", "tracker"]
    assert lines["versions"].startswith("ok")
    assert lines["data"].startswith("ok")
    for check, fix in (("storage", "--storage"), ("gpu", "resources.gpus_per_trial: 0"), ("tracker", "mlflow server")):
        assert lines[check].startswith("FAIL")
        assert fix in lines[check]


def test_doctor_finds_no_problem_on_a_working_machine(tmp_path: Path) -> None:
    assert "FAIL" not in convnn("doctor", "quickstart", storage=tmp_path)
