"""`convnn run`."""

import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from search_spaces import SweepSpec, load_sweep
from tune_jobs.cli.options import AsJson, File, Set, Storage, console, print_json, storage_of


def run(
    file: File,
    overrides: Set = None,
    storage: Storage = None,
    *,
    address: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", envvar="RAY_ADDRESS", help="A Ray cluster; without it, a Ray of its own here."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a sweep to its end, or go on with it where it stopped. Example: convnn run quickstart.

    Ctrl-C stops it cleanly; the same command goes on. On a terminal a live table shows the trials, elsewhere each
    event is a line.
    """
    spec = load_sweep(file, overrides or ())
    place = storage_of(storage)
    from tune_jobs.progress import Board, Lines
    from tune_jobs.runner import run as run_sweep

    out = console(stderr=as_json)
    with Board(out) if out.is_terminal else Lines(out) as progress:
        outcome = run_sweep(spec, progress, storage=place, ray_address=address)
    if as_json:
        print_json(outcome.summary())
    else:
        _report(spec, outcome)
    if outcome.interrupted is not None:
        print(f"\nInterrupted; nothing is lost. Go on with:\n  {_again()}", file=sys.stderr)
    raise typer.Exit(_exit_code(outcome))


def _exit_code(outcome: Any) -> int:  # noqa: ANN401 - an Outcome, whose module is heavy
    if outcome.interrupted is not None:
        return 128 + int(outcome.interrupted)
    failed, ended = outcome.standing.count("failed"), len(outcome.standing.rows)
    return 0 if not failed else 1 if failed == ended else 3


def _report(spec: SweepSpec, outcome: Any) -> None:  # noqa: ANN401
    from tune_jobs.progress import leaderboard, tally
    from tune_jobs.results import course

    out = console()
    out.print()
    out.print(leaderboard(outcome.standing))
    print(f"\n{tally(outcome.standing)}")
    if outcome.exhausted:
        print("Every configuration of the space has been tried.")
    best = outcome.standing.best
    if best is not None:
        print(f"\nBest: trial {best.number}, {spec.metric} {best.value:.4f} after epoch {best.epoch}")
        print(course(outcome.folder, best.run_key).sweep_file(), end="")
    for row in outcome.standing.rows:
        if row.state == "failed":
            print(f"Trial {row.number} failed: {row.reason}\n  log: {outcome.folder.log_of(row.run_key)}")
    _tell_next(outcome)


def _tell_next(outcome: Any) -> None:  # noqa: ANN401
    if outcome.tracker_error is not None:
        print(
            f"\nMLflow at {outcome.tracker} does not have everything ({outcome.tracker_error}).\nThe sweep's folder "
            f"does; to ship the rest, run the same command again when the tracker answers."
        )
    print("\nLook at it again:")
    print(f"  convnn show {outcome.folder.name}")
    if outcome.tracker.startswith("sqlite:"):
        mlflow = shutil.which("mlflow") or str(Path(sys.executable).parent / "mlflow")
        print(f"Open the MLflow UI at http://127.0.0.1:5000 with:\n  {_server(mlflow, outcome.tracker)}")
    else:
        print(f"In the MLflow UI of {outcome.tracker}, the experiment is {outcome.experiment!r}.")


def _server(mlflow: str, tracker: str) -> str:
    return shlex.join([mlflow, "server", "--workers", "1", "--backend-store-uri", tracker])


def _again() -> str:
    return shlex.join(["convnn", *sys.argv[1:]])
