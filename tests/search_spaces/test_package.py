import subprocess
import sys

import search_spaces


def test_the_package_exports_these_names() -> None:
    assert search_spaces.__all__ == [
        "Choice",
        "Chooser",
        "Constraint",
        "Decided",
        "Domain",
        "FloatRange",
        "Infeasible",
        "IntRange",
        "Place",
        "Problem",
        "Space",
        "SpecError",
        "SweepSpec",
        "TrialConfig",
        "canonical",
        "config_key",
        "differences",
        "infeasibilities",
        "json_schema",
        "load_sweep",
        "parse_sweep",
        "run_key",
    ]
    assert all(hasattr(search_spaces, name) for name in search_spaces.__all__)


def test_reading_a_sweep_loads_no_heavy_package() -> None:
    code = (
        "import sys, search_spaces as s; s.load_sweep('quickstart').space.check(); s.json_schema(); "
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "torchvision", "ray", "optuna", "mlflow", "numpy", "pandas", "sklearn", "jsonschema", "tune_jobs"}
    assert not heavy & set(done.stdout.split())
