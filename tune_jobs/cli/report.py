"""`convnn report`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from tune_jobs.cli.options import AsJson, Storage, Sweep, print_json, storage_of
from tune_jobs.storage import find_sweep


def report(
    sweep: Sweep,
    storage: Storage = None,
    *,
    output: Annotated[
        Path | None, typer.Option(show_default="report.html in the sweep's folder", help="The HTML file to write.")
    ] = None,
    png: Annotated[bool, typer.Option("--png", help="Write each plot as PNG, too; needs Chrome or Chromium.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Write leaderboard.csv and epochs.csv, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Draw a sweep as one HTML page that needs no network. Example: convnn report quickstart."""
    folder = find_sweep(sweep, storage_of(storage))
    from tune_jobs.report import write_report

    written = write_report(folder, output, png=png, csv=csv, say=lambda text: print(text, file=sys.stderr, flush=True))
    if as_json:
        print_json(written.summary())
        return
    for path in (written.report, *written.png, *written.csv):
        print(path)
