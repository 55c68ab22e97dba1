"""The reference of the public API; mkdocstrings reads the docstrings from the source without importing it."""

from importlib import import_module

PACKAGES = {
    "tune_jobs": "Run sweeps and read their results. For examples, see [Sweeps from Python](../how-to/python.md).",
    "search_spaces": "Read and check sweep files, without torch and Ray.",
    "convnn": "Use the layers, models, data and training loop, without Ray, Optuna, MLflow and Pydantic.",
}


def python_page(package: str) -> str:
    """Return the page of all names that a package exports, functions first."""
    names = sorted(import_module(package).__all__, key=lambda name: (name[0].isupper(), name))
    said = "The package exports these names; others may change without notice."
    return "\n".join([f"# {package}\n\n{PACKAGES[package]} {said}\n", *(f"::: {package}.{name}\n" for name in names)])
