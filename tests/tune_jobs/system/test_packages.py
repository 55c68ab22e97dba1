import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from tune_jobs.system.packages import PYTHON, required, shown, versions_here, wrong_versions


def test_a_package_with_an_unsuitable_version_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "optuna-4.1.0.dist-info"
    wrong.mkdir()
    (wrong / "METADATA").write_text("Metadata-Version: 2.1\nName: optuna\nVersion: 4.1.0\n")
    names = "versions_here, wrong_versions"
    script = f"from tune_jobs.system.packages import {names}; print(*wrong_versions(versions_here()))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.stdout.strip() == "optuna is 4.1.0, but <6,>=5 is required"


def test_the_required_packages_are_installed_in_the_right_versions() -> None:
    here = versions_here()
    assert here.keys() == required().keys() >= {PYTHON, "torch", "ray", "optuna", "mlflow"}
    assert here["numpy"] == np.__version__
    assert list(wrong_versions(here)) == []
    assert f"optuna {here['optuna']}" in shown(here)


def test_a_package_that_is_not_installed_is_missing() -> None:
    assert list(wrong_versions({**versions_here(), "ray": None})) == ["ray is missing"]
