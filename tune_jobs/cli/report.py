"""`convnn report`."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from tune_jobs.cli.shared.options import AsJson, Storage, Sweep, print_json
from tune_jobs.cli.shared.remote import At, sweep_at


def report(
    sweep: Sweep,
    storage: Storage = None,
    *,
    address: At = None,
    output: Annotated[
        Path | None,
        typer.Option(
            show_default="report.html in the sweep's folder; with --address, SWEEP.html here",
            help="The HTML file to write.",
        ),
    ] = None,
    png: Annotated[bool, typer.Option("--png", help="Also write each plot as PNG; needs Chrome or Chromium.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Also write leaderboard.csv and epochs.csv.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a report on a sweep: one HTML page that works offline. Example: convnn report quickstart."""
    from tune_jobs.report import write_report

    with sweep_at(sweep, storage, address) as folder:
        place = output or (Path(f"{folder.name}.html") if address else None)
        say = partial(print, file=sys.stderr, flush=True)
        written = write_report(folder, place, png=png, csv=csv, say=say)
    if as_json:
        print_json(written.as_dict())
        return
    say(written.more.text)
    for path in (written.report, *written.png, *written.csv):
        print(path)
