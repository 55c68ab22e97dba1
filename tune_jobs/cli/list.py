"""`convnn list`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from tune_jobs.cli.shared.options import AsJson, Storage, console, print_json, storage_of
from tune_jobs.cli.shared.remote import At, given
from tune_jobs.record.folder import sweep_folders
from tune_jobs.results.overview import overview
from tune_jobs.results.words import shown

if TYPE_CHECKING:
    from tune_jobs.cluster.jobs import Job


def list_sweeps(storage: Storage = None, *, address: At = None, as_json: AsJson = False) -> None:
    """List the sweeps and their status. Example: convnn list --json."""
    if address:
        _list_cluster(storage, address, as_json)
        return
    place = storage_of(storage)
    sweeps = [overview(folder) for folder in sweep_folders(place)]
    if as_json:
        print_json({"storage": str(place), "sweeps": sweeps})
    elif sweeps:
        console().print(_table(sweeps))
    else:
        print(f"No sweep in {place} yet; `convnn run quickstart` creates one.")


def _list_cluster(storage: Path | None, address: str, as_json: bool) -> None:
    """Print the sweeps in the given folder, or in every folder that the cluster's jobs use, and the jobs."""
    from tune_jobs.cluster.catalog import Cluster

    cluster = Cluster(address)
    jobs = cluster.sweep_jobs()
    places = (
        [given(storage)]
        if storage
        else list(dict.fromkeys(job.metadata.get("storage") or None for job in jobs)) or [None]
    )
    asked = [cluster.sweeps(place) for place in places]
    sweeps = [
        {**sweep.model_dump(exclude_unset=sweep.error is not None), "storage": each.storage}
        for each in asked
        for sweep in each.sweeps
    ]
    if as_json:
        told = [{"id": job.id, "status": job.status, **job.metadata} for job in jobs]
        print_json({"address": cluster.address, "sweeps": sweeps, "jobs": told})
        return
    if sweeps:
        console().print(_table(sweeps))
    else:
        print(f"No sweep at {cluster.address} yet; `convnn submit quickstart` creates one.")
    if jobs:
        print()
        console().print(_jobs_table(jobs))


def _jobs_table(jobs: "list[Job]") -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("job", "status", "sweep", "command", "storage"):
        table.add_column(name)
    for job in jobs:
        table.add_row(job.id, job.status, *(job.metadata.get(name, "") for name in ("sweep", "command", "storage")))
    return table


def _table(sweeps: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("sweep", "state", "trials", "best", "metric", "started"):
        table.add_column(name, justify="right" if name in ("trials", "best") else "left")
    for sweep in sweeps:
        if sweep["error"]:
            table.add_row(sweep["name"], f"unreadable: {sweep['error']}", "", "", "", "")
            continue
        planned = f"/{sweep['planned']}" if sweep["planned"] else ""
        best = shown(sweep["best"], sweep["metric"])
        if sweep["best"] is not None and sweep.get("best_at_epoch") is not None:
            best += " so far"
        repeats = sweep.get("repeats", 1)
        if seeds := sweep.get("seeds"):
            mean, spread = (shown(seeds[name], sweep["metric"]) for name in ("mean", "sd"))
            of = f" of {repeats}" if repeats > seeds["seeds"] else ""
            best += f" ({seeds['seeds']}{of} seeds: mean {mean}, sd {spread})"
        trials = f"{sweep['ended']}{planned}"
        if repeats > 1:
            trials = f"{sweep['configurations_ended']}{planned} x {repeats} seeds"
        table.add_row(sweep["name"], sweep["state"], trials, best, sweep["metric"], sweep["started"] or "-")
    return table
