"""Options that several commands share, and their console."""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from search_spaces.reading.document import require_assignment
from tune_jobs.display.console import TextConsole
from tune_jobs.errors import UsageError
from tune_jobs.system.json_text import json_text
from tune_jobs.system.visible import obeying

PLAIN_WIDTH = 160
"""Width of the output in columns if it is not a terminal, so that tables are not wrapped."""

File = Annotated[str, typer.Argument(metavar="FILE", help="A sweep's YAML file, or the name of a preset.")]
TRIAL_HELP = "A trial's number or run key, or `champion` for the champion of a finished confirmation."

Sweep = Annotated[
    str,
    typer.Argument(
        metavar="SWEEP", help="The sweep's name, as `convnn list` shows it; on a cluster, also its job's id."
    ),
]


def _assignments(given: list[str] | None) -> list[str] | None:
    """Refuse invalid assignments before other arguments, so that in `--set epochs 3` the 3 is not taken as one."""
    for text in given or ():
        require_assignment(text)
    return given


Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        callback=_assignments,
        help="Override a field, as in --set space.training.epochs=3. Repeatable.",
    ),
]
Storage = Annotated[
    Path | None,
    typer.Option(
        show_default="CONVNN_STORAGE, else ~/convnn-sweeps",
        help="The folder of sweeps; with a cluster's address, the folder there.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
AsYaml = Annotated[
    bool, typer.Option("--yaml", help="Print only the configuration, as a file for `convnn train` or `convnn run`.")
]

Columns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="NAMES",
        help="Fields to show for each trial, as in --columns lr,k,model.layer.patch; `all` for all that vary.",
    ),
]

AcceptCode = Annotated[
    bool,
    typer.Option("--accept-code", help="Continue although the code of a plugin has changed; docs/how-to/extending.md."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


def confirmed(question: str, *, yes: bool) -> bool:
    """Ask the user to agree, and return the answer; without a terminal, --yes is required.

    Raises:
        UsageError: If no terminal is available, and --yes is not given.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(f"{question} No terminal is available to ask; add --yes to agree.")
    return typer.confirm(question, default=False, err=True)


def setting(overrides: list[str] | None) -> list[str]:
    """Return `--set` as arguments for the same command on another machine."""
    return [word for each in overrides or () for word in ("--set", each)]


def accepting(accept_code: bool) -> list[str]:
    """Return this option as arguments for the same command on another machine."""
    return ["--accept-code"] if accept_code else []


def storage_of(given: Path | None) -> Path:
    """Return the folder of sweeps, as an absolute path."""
    from tune_jobs.record.folder import storage_folder

    return storage_folder(given)


def resuming(command: str, sweep: str, storage: Path | None = None, address: str | None = None) -> str:
    """Return the command that resumes a sweep, here or on the cluster at `address`.

    Without an address in a job: the command for the machine that submitted the job.
    """
    from tune_jobs.record.manifest import JOB_ADDRESS

    there = address or os.environ.get(JOB_ADDRESS)
    words = ["convnn", command, sweep, *(["--address", there] if there else [])]
    if storage is not None:
        words += ["--storage", str(storage if address else storage_of(storage))]
    return shlex.join(words)


def console(*, stderr: bool = False) -> TextConsole:
    """Return a console; if the output is not a terminal, it is wide enough that tables are not wrapped."""
    stream = obeying(sys.stderr if stderr else sys.stdout)
    found = TextConsole(file=stream)
    return found if found.is_terminal else TextConsole(file=stream, width=PLAIN_WIDTH)


def print_json(content: Any) -> None:  # noqa: ANN401 - any JSON
    """Print one JSON object to standard output; NaN and infinity, which JSON lacks, become null."""
    print(json_text(content))
