"""`convnn train`."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from search_spaces import TrialConfig, canonical, config_key, load_sweep
from search_spaces.canonical import key_as_written
from tune_jobs.cli.shared.options import AsJson, File, Set, print_json
from tune_jobs.cli.shared.point import only_point
from tune_jobs.errors import ExitCode, SweepError, UsageError
from tune_jobs.worker.attempt import train as train_attempt
from tune_jobs.worker.checkpoints import OneFile


def train(
    file: File,
    overrides: Set = None,
    *,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda. Default: cuda if resources.gpus_per_trial is above 0.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads. Default: resources.cpus_per_trial.")] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="A file, written every resources.checkpoint_every_s seconds and at the end. If it exists, training "
            "resumes from it."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train one configuration here, without Ray or MLflow. Example: convnn best quickstart --yaml > best.yaml.

    Then: convnn train best.yaml. Every field that varies in FILE needs a value from --set.
    """
    spec = load_sweep(file, overrides or ())
    written = only_point(spec, file)
    config = canonical(written)
    if device not in (None, "cpu", "cuda"):
        raise UsageError(f"--device must be cpu or cuda, got {device!r}.")
    from convnn.checkpoint import CheckpointError
    from convnn.training import Diverged

    results: list[dict[str, float]] = []
    chosen = device or ("cuda" if spec.resources.gpus_per_trial > 0 else "cpu")
    try:
        for result in train_attempt(
            config,
            spec.evaluation,
            device=chosen,
            threads=threads or spec.resources.cpus_per_trial,
            checkpoints=OneFile(checkpoint, spec.resources.checkpoint_every_s) if checkpoint else None,
            also=[key_as_written(written)],
        ):
            results.append({"epoch": result.epoch, **result.metrics()})
            print(_line(results[-1], config.training.epochs), flush=True, file=sys.stderr if as_json else sys.stdout)
    except ValueError as error:
        raise UsageError(str(error)) from error
    except (CheckpointError, Diverged) as error:
        raise SweepError(str(error)) from error
    except KeyboardInterrupt:
        way = (
            f"rerun the same command to resume from {checkpoint}"
            if checkpoint
            else "to be able to resume, add --checkpoint FILE"
        )
        print(f"interrupted; {way}.", file=sys.stderr)
        raise typer.Exit(ExitCode.INTERRUPT) from None
    if as_json:
        print_json({"config_key": config_key(config), "config": _plain(config), "epochs": results})
    elif not results:
        print(f"{checkpoint} is already trained to its last epoch, {config.training.epochs}.")


def _line(epoch: dict[str, float], epochs: int) -> str:
    numbers = "  ".join(f"{name} {value:.4f}" for name, value in epoch.items() if "/" in name)
    return f"epoch {epoch['epoch']}/{epochs}  {numbers}  {epoch['epoch_s']:.1f} s"


def _plain(config: TrialConfig) -> dict[str, Any]:
    return config.model_dump(mode="json", by_alias=True)
