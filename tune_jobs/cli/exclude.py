"""`convnn exclude`."""

from typing import Annotated

import typer

from tune_jobs.cli.shared.options import AsJson, Storage, Sweep, print_json, storage_of
from tune_jobs.cli.shared.remote import At, given
from tune_jobs.driver.exclusion import exclude as exclude_trial
from tune_jobs.driver.exclusion import include
from tune_jobs.errors import UsageError
from tune_jobs.record.folder import find_sweep


def exclude(
    sweep: Sweep,
    trial: Annotated[str, typer.Argument(metavar="TRIAL", help="A trial's number or run key.")],
    storage: Storage = None,
    *,
    why: Annotated[
        str | None, typer.Option("--why", metavar="REASON", help="The reason; tables and the report show it.")
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Include the trial again.")] = False,
    address: At = None,
    as_json: AsJson = False,
) -> None:
    """Exclude one trial from a sweep's results. Example: convnn exclude quickstart 3 --why "wrong images".

    The sampler, the tables, the report and the best trial ignore it. It stays in the record, with the reason, and its
    cost still counts. The sweep must not be running.
    """
    if (why is None) != undo:
        raise UsageError(
            'excluding a trial needs a reason: --why "wrong images"; to include it again, give --undo alone.'
        )
    if address:
        from tune_jobs.cluster.catalog import Cluster, in_storage

        cluster = Cluster(address, given(storage))
        found = cluster.locate(sweep)
        options = ["--undo"] if why is None else ["--why", why]
        options += [*in_storage(found.storage), *(["--json"] if as_json else [])]
        print(cluster.ask("exclude", found.name, trial, *options), end="")
        return
    folder = find_sweep(sweep, storage_of(storage))
    row = include(folder, trial) if why is None else exclude_trial(folder, trial, why)
    if as_json:
        print_json({"sweep": folder.name, **row.as_dict()})
    elif why is None:
        print(f"trial {row.number} of {folder.name} is included again.")
    else:
        print(
            f"trial {row.number} of {folder.name} is excluded ({row.excluded}). To include it again:\n"
            f"  convnn exclude {folder.name} {row.number} --undo"
        )
