"""`convnn list`."""

from rich.table import Table

from tune_jobs.cli.options import AsJson, Storage, console, print_json, storage_of
from tune_jobs.results import overview
from tune_jobs.storage import sweep_folders


def list_sweeps(storage: Storage = None, *, as_json: AsJson = False) -> None:
    """List the sweeps, and how they stand. Example: convnn list --json."""
    place = storage_of(storage)
    sweeps = [overview(folder) for folder in sweep_folders(place)]
    if as_json:
        print_json({"storage": str(place), "sweeps": sweeps})
        return
    if not sweeps:
        print(f"There is no sweep in {place} yet; `convnn run quickstart` makes one.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("sweep", "state", "trials", "best", "metric", "started"):
        table.add_column(name, justify="right" if name in ("trials", "best") else "left")
    for sweep in sweeps:
        if sweep["error"]:
            table.add_row(sweep["name"], f"unreadable: {sweep['error']}", "", "", "", "")
            continue
        planned = f"/{sweep['planned']}" if sweep["planned"] else ""
        best = "-" if sweep["best"] is None else f"{sweep['best']:.4f}"
        table.add_row(
            sweep["name"], sweep["state"], f"{sweep['ended']}{planned}", best, sweep["metric"], sweep["started"] or "-"
        )
    console().print(table)
