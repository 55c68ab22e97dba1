"""The sweep that a command is given: a file or preset, with overrides, or made small."""

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
        help="The same branches and kinds on few images, narrow, for 2 epochs, as a sweep of its own: NAME-smoke.",
    ),
]


def sweep_of(
    file: str, overrides: Sequence[str] | None, *, small: bool, gpu: Callable[[], bool] = has_gpu
) -> SweepSpec:
    """Read a sweep; made small, what it leaves out is said.

    Args:
        file: A file, or a preset's name.
        overrides: `path=value` changes of it.
        small: Whether it is made small.
        gpu: Whether there is a GPU where it is to run; without one a small sweep trains on the CPU.

    Raises:
        SpecError: With every mistake of the file.
        FileNotFoundError: If there is neither such a file nor such a preset.
    """
    spec = load_sweep(file, overrides or ())
    if not small:
        return spec
    from search_spaces.smoke import smoke

    found = smoke(spec, gpu=gpu())
    if found.left_out:
        print(f"--smoke has no trial of: {', '.join(found.left_out)}", file=sys.stderr)
    return found.spec
