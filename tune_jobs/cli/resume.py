"""`convnn resume`."""

from tune_jobs.cli.shared.notifying import Notifier, Notify
from tune_jobs.cli.shared.options import AcceptCode, AsJson, Set, Storage, Sweep, accepting, storage_of
from tune_jobs.cli.shared.running import AnyAddress, Detach, follow, on_cluster
from tune_jobs.record.folder import SweepFolder


def resume(
    sweep: Sweep,
    overrides: Set = None,
    storage: Storage = None,
    *,
    address: AnyAddress = None,
    detach: Detach = False,
    accept_code: AcceptCode = False,
    notify: Notify = None,
    as_json: AsJson = False,
) -> None:
    """Resume a sweep that was stopped or killed, or has used up its budget. Example: convnn resume quickstart.

    --set may change its budget, search.trials, search.repeats, stopping.max_failed_fraction,
    stopping.enough, resources and tracking.
    """
    options = [word for each in overrides or () for word in ("--set", each)] + accepting(accept_code)
    if on_cluster("resume", sweep, address, storage, options, detach=detach, as_json=as_json, notify=notify):
        return
    from tune_jobs.driver import restart

    place = storage_of(storage)
    follow(
        lambda progress: restart.resume(
            sweep,
            progress,
            storage=place,
            ray_address=address,
            overrides=tuple(overrides or ()),
            accept_code=accept_code,
        ),
        Notifier(notify, SweepFolder(place / sweep), f"convnn resume {sweep}"),
        as_json=as_json,
    )
