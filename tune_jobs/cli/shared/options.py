"""Options that several commands share, and the console they print on."""

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
"""Columns where the output is no terminal, so that tables are not folded."""

File = Annotated[str, typer.Argument(metavar="FILE", help="A sweep's YAML file, or the name of a preset.")]
TRIAL_HELP = "A trial's number or run key, or `champion`: the run of the champion of a finished confirmation."

Sweep = Annotated[
    str,
    typer.Argument(metavar="SWEEP", help="The sweep's name, as `convnn list` shows it; on a cluster, or its job's id."),
]


def _assignments(given: list[str] | None) -> list[str] | None:
    """Refused here, before the words that follow: of `--set epochs 3` the 3 is no argument of its own."""
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
        help="The folder in which sweeps live; with a cluster's address, the folder there.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
AsYaml = Annotated[
    bool, typer.Option("--yaml", help="Print the configuration alone, as a file for `convnn train` or `convnn run`.")
]

Columns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="NAMES",
        help="Fields to show of each trial, as in --columns lr,k,model.layer.patch; `all` for those that vary.",
    ),
]

AcceptCode = Annotated[
    bool,
    typer.Option("--accept-code", help="Go on although the code of a plugin has changed; docs/how-to/extending.md."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def confirmed(question: str, *, yes: bool) -> bool:
    """Whether a person agrees; where nobody can be asked, --yes must say so.

    Raises:
        UsageError: If there is no terminal to ask on.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(f"{question} There is no terminal to ask on; add --yes to agree.")
    return typer.confirm(question, default=False, err=True)


def accepting(accept_code: bool) -> list[str]:
    """That option, as it is given to the same command elsewhere."""
    return ["--accept-code"] if accept_code else []


def storage_of(given: Path | None) -> Path:
    """Where sweeps live, as an absolute path."""
    from tune_jobs.record.folder import storage_folder

    return storage_folder(given)


def console(*, stderr: bool = False) -> TextConsole:
    """A console that keeps tables whole where nobody looks at a terminal."""
    stream = obeying(sys.stderr if stderr else sys.stdout)
    found = TextConsole(file=stream)
    return found if found.is_terminal else TextConsole(file=stream, width=PLAIN_WIDTH)


def print_json(content: Any) -> None:  # noqa: ANN401 - any JSON
    """One object on standard output; NaN and infinity, which JSON lacks, as null."""
    print(json_text(content))
