"""`convnn schema`."""

from typing import Annotated

import typer

from search_spaces import json_schema
from tune_jobs.cli.shared.options import print_json


def schema(
    output: Annotated[
        str | None,
        typer.Option(metavar="COMMAND", help="Print the JSON Schema of this command's --json output instead."),
    ] = None,
) -> None:
    """Print the JSON Schema of sweep files, for completion in editors. Example: convnn schema > sweep.schema.json."""
    if output is None:
        print_json(json_schema())
        return
    from tune_jobs.cli.shared.outputs import output_schema

    print_json(output_schema(output))
