"""What the packages may import, how fast the light commands are, and what each package exports."""

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.testing import CliRunner

import convnn
import search_spaces
import tune_jobs
from tests.tune_jobs.program import CONVNN
from tune_jobs.cli.app import app

ROOT = Path(__file__).parents[1]
PACKAGES = ("convnn", "search_spaces", "tune_jobs")
LOADED = "import sys, json; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"


def loaded(statement: str) -> set[str]:
    """Return the top-level packages that a new interpreter has loaded after `statement`."""
    code = f"{statement}\n{LOADED}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(json.loads(done.stdout.splitlines()[-1]))


def every_module(package: str) -> str:
    files = sorted((ROOT / package).rglob("*.py"))
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in files]
    return "\n".join(f"import {name}" for name in names)


def code_in(folder: Path) -> Iterator[str]:
    """Yield the source of the modules of a folder, and of the cells of its notebooks."""
    yield from (file.read_text() for file in folder.rglob("*.py"))
    for notebook in folder.rglob("*.ipynb"):
        cells = json.loads(notebook.read_text())["cells"]
        yield from ("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def imported(folder: Path) -> Iterator[str]:
    """Yield the top-level packages that the code of a folder imports, anywhere."""
    for code in code_in(folder):
        for node in ast.walk(ast.parse(code)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            yield from (name.partition(".")[0] for name in names)


@pytest.mark.parametrize(
    ("folders", "developing"), [(PACKAGES, False), (("tests", "benchmarks", "docker", "docs", "examples"), True)]
)
def test_imported_packages_are_declared(folders: tuple[str, ...], developing: bool) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = project["dependencies"] + (extras["dev"] + extras["docs"] if developing else [])
    declared = {canonicalize_name(Requirement(line).name) for line in lines}
    names = {name for folder in folders for name in imported(ROOT / folder)}
    others = names - {"tests", "benchmarks", "generate", *PACKAGES} - sys.stdlib_module_names
    brought_by = packages_distributions()
    assert {"numpy", "torch"} <= others
    assert not [name for name in others if not declared & {canonicalize_name(one) for one in brought_by[name]}]


def test_every_folder_of_code_is_a_package() -> None:  # otherwise it is not installed, which the checkout hides
    folders = {file.parent for name in PACKAGES for file in (ROOT / name).rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").exists()]


@pytest.mark.parametrize(("package", "lines"), [("convnn", 400), ("search_spaces", 350), ("tune_jobs", 350)])
def test_modules_and_functions_are_short(package: str, lines: int) -> None:
    texts = {file: file.read_text() for file in (ROOT / package).rglob("*.py")}
    assert not [file for file, text in texts.items() if len(text.splitlines()) > lines]
    nodes = [node for text in texts.values() for node in ast.walk(ast.parse(text))]
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert not [node.name for node in functions if (node.end_lineno or 0) - node.lineno >= 70]


def test_convnn_imports_no_other_package_of_the_project() -> None:
    found = loaded(every_module("convnn"))
    assert "torch" in found
    assert not found & {"ray", "optuna", "mlflow", "pydantic", "search_spaces", "tune_jobs"}


def test_search_spaces_needs_neither_torch_nor_ray() -> None:
    found = loaded(every_module("search_spaces"))
    assert {"pydantic", "convnn"} <= found
    assert not found & {"torch", "ray", "optuna", "mlflow", "tune_jobs"}


@pytest.mark.parametrize("arguments", [["--help"], ["validate", "quickstart"], ["list"], ["presets"], ["schema"]])
def test_light_commands_load_no_heavy_package(arguments: list[str]) -> None:
    statement = f"""
import os, sys
os._exit = sys.exit  # the program ends with it
sys.argv = ["convnn", *{arguments!r}]
from tune_jobs.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code
"""
    assert not loaded(statement) & {"torch", "ray", "mlflow", "optuna", "torchvision"}


def test_a_simulation_loads_neither_torch_nor_ray_nor_mlflow() -> None:
    arguments = ["simulate", "figure8-cifar10", "--repeats", "1", "--budgets", "2", "--rules", "none,best:9/2"]
    statement = f"from tune_jobs.cli.app import app\napp({arguments!r}, standalone_mode=False)"
    found = loaded(statement)
    assert "optuna" in found
    assert not found & {"torch", "ray", "mlflow", "torchvision"}


def test_a_comparison_loads_neither_torch_nor_ray_nor_mlflow() -> None:
    found = loaded("import tune_jobs.cli.compare, tune_jobs.evidence.files, tune_jobs.evidence.pairs")
    assert {"scipy", "plotly"} <= found
    assert not found & {"torch", "ray", "mlflow", "optuna", "torchvision"}


@pytest.mark.parametrize("package", [convnn, search_spaces, tune_jobs])
def test_every_exported_name_exists_and_an_unknown_one_is_an_error(package: object) -> None:
    names = package.__all__  # type: ignore[attr-defined]
    assert names == sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert all(getattr(package, name) is not None for name in names)
    with pytest.raises(AttributeError, match="nonsense"):
        package.nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_tune_jobs_exports_the_public_names() -> None:
    assert tune_jobs.__all__ == [
        "ClusterError",
        "Confirmed",
        "Halt",
        "Ledger",
        "LedgerError",
        "LoadedModel",
        "Outcome",
        "Selection",
        "Summary",
        "SweepError",
        "SweepFolder",
        "SweepResults",
        "TrackerError",
        "UsageError",
        "confirm",
        "exclude",
        "extend",
        "find_sweep",
        "history",
        "include",
        "load_model",
        "open_confirmation",
        "open_sweep",
        "read_summary",
        "resume",
        "retry",
        "run",
        "sweep_folders",
        "sync",
        "train",
        "write_report",
    ]


def test_every_command_has_help_an_example_and_a_line_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    overview = subprocess.run([CONVNN, "--help"], capture_output=True, text=True, check=True).stdout
    commands = [line.split()[0] for line in overview.partition("Commands:")[2].splitlines() if line.strip()]
    assert {"run", "validate", "list", "best", "show", "train", "presets", "schema"} <= set(commands)
    for command in commands:
        shown = CliRunner().invoke(app, [command, "--help"]).stdout
        assert "xample: convnn" in " ".join(shown.split())
        assert f"`convnn {command}" in readme
