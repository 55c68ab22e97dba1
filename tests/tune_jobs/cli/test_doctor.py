"""`convnn doctor` on this machine, with a folder and servers that are really broken."""

from pathlib import Path

from tests.tune_jobs.program import convnn
from tests.tune_jobs.servers import free_port


def test_doctor_says_a_line_for_each_check_and_what_mends_it(tmp_path: Path) -> None:
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
    for check, mend in (("storage", "--storage"), ("gpu", "resources.gpus_per_trial: 0"), ("tracker", "mlflow server")):
        assert lines[check].startswith("FAIL")
        assert mend in lines[check]


def test_doctor_finds_nothing_where_nothing_is_wrong(tmp_path: Path) -> None:
    assert "FAIL" not in convnn("doctor", "quickstart", storage=tmp_path)
