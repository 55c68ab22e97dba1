"""`convnn presets`."""

from typing import Annotated

import typer
from rich.table import Table

from search_spaces import presets
from tune_jobs.cli.shared.options import AsJson, console, print_json
from tune_jobs.errors import UsageError

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def list_presets(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """List the sweeps that come with the package, or print one. Example: convnn presets show quickstart."""
    if ctx.invoked_subcommand is not None:
        return
    if as_json:
        print_json([{"name": name, "summary": presets.summary(name)} for name in presets.names()])
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for name in presets.names():
        table.add_row(name, presets.summary(name))
    console().print(table)


@app.command()
def show(name: Annotated[str, typer.Argument(metavar="NAME", help="A name that `convnn presets` lists.")]) -> None:
    """Print a preset's file, as a start for your own. Example: convnn presets show quickstart > mine.yaml."""
    if name not in presets.names():
        raise UsageError(f"there is no preset {name!r}; {presets.hint(name)}")
    print(presets.path(name).read_text(encoding="utf-8"), end="")
