"""`convnn export`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from convnn.data import DATASETS
from search_spaces.base import Factory
from tune_jobs.cli.shared.options import Storage, Sweep, storage_of
from tune_jobs.errors import SweepError, UsageError
from tune_jobs.record.folder import find_sweep
from tune_jobs.results.history import history


def export(
    sweep: Sweep,
    trial: Annotated[str, typer.Argument(metavar="TRIAL", help="A trial's number or run key.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write the weights; not a file that exists.")],
    storage: Storage = None,
) -> None:
    """Write the weights that a trial has trained, for PyTorch. Example: convnn export mine 3 model.pt.

    They are those of the published model, by name. A sweep keeps its best trials' (resources.keep_best).
    """
    folder = find_sweep(sweep, storage_of(storage))
    row = history(folder, trial).row
    kept = folder.checkpoints(row.run_key)
    if not kept:
        raise UsageError(
            f"no checkpoint of trial {row.number} is kept; a sweep keeps those of its best trials, as many as "
            f"resources.keep_best says. Train it again with: convnn show {sweep} {row.number} --yaml > it.yaml, then "
            f"convnn train it.yaml --checkpoint it.pt"
        )
    if file.exists():
        raise UsageError(f"{file} exists and is not overwritten; name another file.")
    from convnn.checkpoint import CheckpointError, save_checkpoint
    from convnn.folding import FoldError
    from convnn.training import published_weights
    from tune_jobs.worker.build import build_model, build_recipe

    config, classes = row.config, DATASETS[row.config.data.name].classes
    try:
        build = partial(build_model, config.model, classes)
        save_checkpoint(published_weights(kept[0], build, build_recipe(config.training)), file)
    except (CheckpointError, FoldError) as error:
        raise SweepError(str(error)) from error
    imports: dict[str, None] = {"import torch": None}
    model = _written(config.model.factory(classes), imports)
    print(
        f"{file} has the weights of trial {row.number} after epoch {int(kept[0].stem.rpartition('-')[2])}; in Python:\n"
    )
    for line in (*imports, f"model = {model}", f"model.load_state_dict(torch.load({str(file)!r}))"):
        print(f"  {line}")


def _written(made: Factory, imports: dict[str, None], *, inside: bool = False) -> str:
    """As Python has it, with what it imports; an argument that makes something is not called."""
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
