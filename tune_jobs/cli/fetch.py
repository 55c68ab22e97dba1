"""`convnn fetch`."""

import sys
from typing import Annotated

import typer

from tune_jobs.cli.shared.options import AsJson, Storage, Sweep, print_json, storage_of
from tune_jobs.cli.shared.remote import place_of
from tune_jobs.record.folder import SweepFolder


def fetch(
    sweep: Sweep,
    storage: Storage = None,
    *,
    address: Annotated[
        str,
        typer.Option(
            metavar="URL", envvar="CONVNN_ADDRESS", help="The dashboard of the cluster, as in http://head:8265."
        ),
    ],
    there: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FOLDER",
            help="The folder of sweeps on the cluster. Default: that of the sweep's job, else the cluster's default.",
        ),
    ] = None,
    checkpoints: Annotated[bool, typer.Option("--checkpoints", help="Also copy the checkpoints.")] = False,
    as_json: AsJson = False,
) -> None:
    """Copy a sweep's folder from a cluster to this machine. Example: convnn fetch mine --address http://head:8265.

    Every command can then read it as if it had run here, and `convnn resume` continues it here. Fetching it again
    replaces the copy, unless it was continued here.
    """
    from tune_jobs.cluster.catalog import Cluster

    cluster = Cluster(address, there)
    found = cluster.locate(sweep)
    folder = SweepFolder(storage_of(storage) / found.name)
    print(f"copying {found.name} from {cluster.address} ...", file=sys.stderr, flush=True)
    origin = cluster.fetch(found, folder, checkpoints=checkpoints)
    if as_json:
        print_json({"sweep": found.name, "folder": str(folder.path), **origin})
        return
    print(f"{place_of(origin)} was copied to {folder.path}")
    if origin["left_out_bytes"]:
        print(f"Left out: {origin['left_out_bytes'] / 1e9:.2g} GB of checkpoints (--checkpoints copies them too).")
