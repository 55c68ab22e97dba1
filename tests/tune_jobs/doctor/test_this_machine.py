import os
import subprocess
import sys
from pathlib import Path


def test_a_package_of_another_version_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "optuna-4.1.0.dist-info"
    wrong.mkdir()
    (wrong / "METADATA").write_text("Metadata-Version: 2.1\nName: optuna\nVersion: 4.1.0\n")
    names = "versions_here, wrong_versions"
    script = f"from tune_jobs.doctor.this_machine import {names}; print(*wrong_versions(versions_here()))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.stdout.strip() == "optuna is 4.1.0, needed is <6,>=5"
