"""`convnn export`."""

from pathlib import Path
from typing import Annotated

import typer

from convnn.data import DATASETS
from search_spaces.base import Factory
from tune_jobs.cli.shared.options import TRIAL_HELP, Storage, Sweep, storage_of
from tune_jobs.errors import UsageError
from tune_jobs.record.folder import epoch_of, find_sweep
from tune_jobs.results.history import history


def export(
    sweep: Sweep,
    trial: Annotated[str, typer.Argument(metavar="TRIAL", help=TRIAL_HELP)],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; it must not exist.")],
    storage: Storage = None,
) -> None:
    """Write the trained weights of a trial to a file for PyTorch. Example: convnn export mine 3 model.pt.

    The weights have the names of the published model. A sweep keeps those of its best trials (resources.keep_best).
    """
    if file.exists():
        raise UsageError(f"{file} already exists and is not overwritten; give another file.")
    folder = find_sweep(sweep, storage_of(storage))
    row = history(folder, trial).row
    from convnn.checkpoint import save_checkpoint
    from tune_jobs.loading import kept_checkpoint, trained_weights

    config, kept = row.config, kept_checkpoint(folder, row)
    save_checkpoint(trained_weights(kept, config), file)
    imports: dict[str, None] = {"import torch": None}
    model = _written(config.model.factory(DATASETS[config.data.name].classes), imports)
    print(f"{file} contains the weights of trial {row.number} after epoch {epoch_of(kept)}. In Python:\n")
    for line in (*imports, f"model = {model}", f"model.load_state_dict(torch.load({str(file)!r}))"):
        print(f"  {line}")


def _written(made: Factory, imports: dict[str, None], *, inside: bool = False) -> str:
    """Return the call as Python code and collect its imports; a factory as an argument becomes a `partial`."""
    module, _, name = made.target.partition(":")
    arguments = [
        f"{key}={_written(value, imports, inside=True) if isinstance(value, Factory) else repr(value)}"
        for key, value in made.arguments.items()
    ]
    imports[f"from {module} import {name}"] = None
    if not inside:
        return f"{name}({', '.join(arguments)})"
    imports["from functools import partial"] = None
    return f"partial({', '.join([name, *arguments])})"
