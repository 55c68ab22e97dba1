"""The reference of the public names; mkdocstrings reads their docstrings from the source, without importing it."""

import convnn
import search_spaces
import tune_jobs

PACKAGES = (
    (tune_jobs, "Run sweeps and read their results; [Sweeps from Python](../how-to/python.md) shows how."),
    (search_spaces, "Read and check sweep files. Needs neither torch nor Ray."),
    (convnn, "The layers, the models, the data and the training loop. Needs neither Ray, Optuna, MLflow nor Pydantic."),
)


def python_page() -> str:
    """All names that the three packages export."""
    parts = ["# Python API\n", "What each package exports. Everything else may change without notice.\n"]
    for package, purpose in PACKAGES:
        parts.append(f"## {package.__name__}\n\n{purpose}\n")
        parts += [f"::: {package.__name__}.{name}\n" for name in package.__all__]
    return "\n".join(parts)
