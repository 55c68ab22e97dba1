"""`convnn resume`."""

from tune_jobs.cli.options import AsJson, Set, Storage, Sweep, storage_of
from tune_jobs.cli.running import Address, follow


def resume(
    sweep: Sweep, overrides: Set = None, storage: Storage = None, *, address: Address = None, as_json: AsJson = False
) -> None:
    """Go on with a sweep that was stopped, killed or is over its budget. Example: convnn resume quickstart.

    --set may change its budget, search.trials, stopping.max_failed_fraction, resources and tracking.
    """
    from tune_jobs import continuing

    place = storage_of(storage)
    follow(
        sweep,
        lambda progress: continuing.resume(
            sweep, progress, storage=place, ray_address=address, overrides=tuple(overrides or ())
        ),
        as_json=as_json,
    )
