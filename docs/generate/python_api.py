"""The reference of the public names; mkdocstrings reads their docstrings from the source, without importing it."""

from importlib import import_module

PACKAGES = {
    "tune_jobs": "Run sweeps and read their results; [Sweeps from Python](../how-to/python.md) shows how.",
    "search_spaces": "Read and check sweep files. Needs neither torch nor Ray.",
    "convnn": "The layers, models, data and training loop. Needs neither Ray, Optuna, MLflow nor Pydantic.",
}


def python_page(package: str) -> str:
    """All names that a package exports, functions first."""
    names = sorted(import_module(package).__all__, key=lambda name: (name[0].isupper(), name))
    said = "These names are what the package exports; others may change without notice."
    return "\n".join([f"# {package}\n\n{PACKAGES[package]} {said}\n", *(f"::: {package}.{name}\n" for name in names)])
