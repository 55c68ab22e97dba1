"""Load the sweep of a command: a file or preset with overrides, or its smoke test."""

import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from search_spaces import SweepSpec, load_sweep
from tune_jobs.system.gpus import has_gpu

Small = Annotated[
    bool,
    typer.Option(
        "--smoke",
        help="Use a smoke test of the file: all its kinds and branches, narrow, on few images, for 2 epochs, as a "
        "separate sweep NAME-smoke.",
    ),
]


def sweep_of(
    file: str, overrides: Sequence[str] | None, *, small: bool, gpu: Callable[[], bool] = has_gpu
) -> SweepSpec:
    """Load a sweep; for a smoke test, print what it leaves out.

    Args:
        file: A file, or a preset's name.
        overrides: Changes as `path=value`.
        small: Whether to load its smoke test.
        gpu: Whether the machine that runs it has a GPU; without one, a smoke test trains on the CPU.

    Raises:
        SpecError: With every mistake of the file.
        FileNotFoundError: If no file or preset has that name.
    """
    spec = load_sweep(file, overrides or ())
    if not small:
        return spec
    from search_spaces.smoke import smoke

    found = smoke(spec, gpu=gpu())
    if found.left_out:
        print(f"--smoke has no trial of: {', '.join(found.left_out)}", file=sys.stderr)
    return found.spec
