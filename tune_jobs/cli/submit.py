"""`convnn submit`."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from search_spaces.reading.load import sets_trials
from tune_jobs.cli.shared.loading import Small, sweep_of
from tune_jobs.cli.shared.notifying import Notify
from tune_jobs.cli.shared.options import AcceptCode, AsJson, File, Set, accepting, setting
from tune_jobs.cli.shared.remote import finish, given
from tune_jobs.errors import UsageError


def submit(
    file: File,
    overrides: Set = None,
    *,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar=["CONVNN_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"],
            help="The dashboard of the Ray cluster, as in http://head:8265.",
        ),
    ] = None,
    storage: Annotated[
        Path | None,
        typer.Option(
            help="The folder of sweeps on the cluster, shared by all its machines. Default: CONVNN_STORAGE there."
        ),
    ] = None,
    code: Annotated[
        Literal["auto", "ship", "installed"],
        typer.Option(help="Ship our code, or use the cluster's installed code; auto ships it only if it differs."),
    ] = "auto",
    small: Small = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over; the existing sweep is moved aside and kept.")
    ] = False,
    accept_code: AcceptCode = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Do not follow the job.")] = False,
    notify: Notify = None,
    as_json: AsJson = False,
) -> None:
    """Run a sweep on a Ray cluster, as a job. Example: convnn submit quickstart --address http://head:8265.

    The file and the cluster's versions, resources, storage, images and tracker are checked first. The job then runs
    without this machine, and Ctrl-C does not stop it. Submit an ended sweep again to resume it. `--smoke` tests a file
    or preset there in minutes.
    """
    if not address:
        raise UsageError("submit needs a cluster; add --address with the URL of its dashboard, as in http://head:8265.")
    spec = sweep_of(file, overrides, small=small, gpu=lambda: True)  # the cluster is checked for a GPU later
    from tune_jobs.cluster import submission
    from tune_jobs.cluster.catalog import Cluster

    cluster = Cluster(address, given(storage))
    trials = [] if small else [each for each in overrides or () if sets_trials([each])]  # a smoke test is a grid
    found = submission.submit(
        spec,
        cluster,
        storage=given(storage),
        code=code,
        options=[*(["--fresh", "--yes"] if fresh else []), *setting(trials), *accepting(accept_code)],
        notify=notify,
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    finish(cluster.jobs, found, detach=detach, as_json=as_json)
