"""`convnn check-plugin`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tune_jobs.cli.shared.options import AsJson, print_json
from tune_jobs.errors import ExitCode
from tune_jobs.system.visible import visible

if TYPE_CHECKING:
    from tune_jobs.conformance.outcome import Checked


def check_plugin(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Name of a kind in sweep files, or of an installed package that adds kinds."
        ),
    ],
    data: Annotated[Path | None, typer.Option(help="Folder of a data set's files, such as data.root.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Check a model, layer, data set, sampler or stopping rule of a plugin. Example: convnn check-plugin dilated.

    Prints one line per property. Exit code 1 if a check fails. How to write a plugin: docs/how-to/extending.md.
    """
    from tune_jobs.conformance.check import check
    from tune_jobs.conformance.outcome import CheckedPlugin

    found = check(name, (lambda _: None) if as_json else _told, None if data is None else str(data.absolute()))
    outcome = CheckedPlugin(all(kind.ok for kind in found), found)
    if as_json:
        print_json(outcome.as_dict())
    if not outcome.ok:
        raise typer.Exit(ExitCode.FAILED)


def _told(found: "str | Checked") -> None:
    print(visible(found if isinstance(found, str) else f"  {found}"), flush=True)
