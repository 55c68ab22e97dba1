"""`convnn export`."""

from pathlib import Path
from typing import Annotated

import typer

from convnn.data import DATASETS
from search_spaces.base import Factory
from search_spaces.plurals import plural
from tune_jobs.cli.shared.options import TRIAL_HELP, Storage, Sweep, storage_of
from tune_jobs.errors import UsageError
from tune_jobs.exports.files import require_new
from tune_jobs.record.folder import SweepFolder, epoch_of, find_sweep
from tune_jobs.results.history import history

_CSV = typer.Option("--csv", metavar="FILE", help="Write the whole sweep as a CSV table: one row per trial.")
_PARQUET = typer.Option("--parquet", metavar="FILE", help="Write the same table as Parquet.")
_OPTUNA = typer.Option("--optuna", metavar="FILE", help="Write the whole sweep as Optuna studies, in a journal file.")


def export(
    sweep: Sweep,
    trial: Annotated[str | None, typer.Argument(metavar="[TRIAL", help=TRIAL_HELP)] = None,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE]", help="The file for the trial's weights; it must not exist.")
    ] = None,
    storage: Storage = None,
    *,
    csv: Annotated[Path | None, _CSV] = None,
    parquet: Annotated[Path | None, _PARQUET] = None,
    optuna: Annotated[Path | None, _OPTUNA] = None,
    epochs: Annotated[bool, typer.Option("--epochs", help="With --csv or --parquet: one row per epoch.")] = False,
) -> None:
    """Write a trial's weights for PyTorch, or a whole sweep for other programs. Example: convnn export mine 3 model.pt.

    The weights have the names of the published model. A sweep keeps those of its best trials (resources.keep_best). One
    of the options writes a whole sweep: convnn export mine --csv trials.csv. Existing files are never overwritten.
    """
    whole = {"csv": csv, "parquet": parquet, "optuna": optuna}
    given = [(kind, path) for kind, path in whole.items() if path is not None]
    if len(given) + (trial is not None) != 1 or (trial is not None and file is None):
        raise UsageError(
            f"export takes either a trial and a file for its weights (convnn export {sweep} 3 model.pt) or one of "
            f"--csv, --parquet and --optuna for the whole sweep (convnn export {sweep} --csv trials.csv)."
        )
    if epochs and csv is None and parquet is None:
        raise UsageError("--epochs requires --csv or --parquet; a journal for Optuna always contains every epoch.")
    folder = find_sweep(sweep, storage_of(storage))
    if trial is not None and file is not None:
        _export_weights(folder, trial, file)
    elif optuna is not None:
        _export_studies(folder, optuna)
    else:
        from tune_jobs.exports.table import write_table

        table = csv or parquet
        assert table is not None
        rows = write_table(folder, table, "csv" if csv else "parquet", epochs=epochs)
        print(f"{table} contains {plural(rows, 'epoch' if epochs else 'trial')} of {folder.name}.")


def _export_studies(folder: SweepFolder, file: Path) -> None:
    from tune_jobs.exports.journal import write_journal

    for study in write_journal(folder, file):
        print(f"{file} contains the study {study.name!r} with {plural(study.trials, 'trial')}.")
    print(
        "Load it in Python:\n\n"
        "  import optuna\n"
        "  from optuna.storages.journal import JournalFileBackend\n"
        f"  storage = optuna.storages.JournalStorage(JournalFileBackend({str(file)!r}))\n"
        f"  study = optuna.load_study(study_name={folder.name!r}, storage=storage)"
    )


def _export_weights(folder: SweepFolder, trial: str, file: Path) -> None:
    require_new(file)
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
