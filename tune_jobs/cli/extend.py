"""`convnn extend`."""

from typing import Annotated

import typer

from tune_jobs.cli.shared.notifying import Notifier, Notify
from tune_jobs.cli.shared.options import AcceptCode, AsJson, Storage, Sweep, accepting, storage_of
from tune_jobs.cli.shared.running import AnyAddress, Detach, follow, on_cluster
from tune_jobs.record.folder import SweepFolder


def extend(
    sweep: Sweep,
    storage: Storage = None,
    *,
    trials: Annotated[
        str, typer.Option(metavar="+N", help="+20 for 20 more trials than planned now, or 84 for 84 trials in total.")
    ],
    address: AnyAddress = None,
    detach: Detach = False,
    accept_code: AcceptCode = False,
    notify: Notify = None,
    as_json: AsJson = False,
) -> None:
    """Add trials to a sweep, even after it has finished. Example: convnn extend quickstart --trials +6.

    The same study continues, in the same folder and under the same MLflow parent run.
    """
    options = ["--trials", trials, *accepting(accept_code)]
    if on_cluster("extend", sweep, address, storage, options, detach=detach, as_json=as_json, notify=notify):
        return
    from tune_jobs.driver import restart

    place = storage_of(storage)
    follow(
        lambda progress: restart.extend(
            sweep, trials, progress, storage=place, ray_address=address, accept_code=accept_code
        ),
        Notifier(notify, SweepFolder(place / sweep), f"convnn resume {sweep}"),
        as_json=as_json,
    )
