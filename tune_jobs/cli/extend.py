"""`convnn extend`."""

from typing import Annotated

import typer

from tune_jobs.cli.options import AsJson, Storage, Sweep, storage_of
from tune_jobs.cli.running import Address, follow


def extend(
    sweep: Sweep,
    storage: Storage = None,
    *,
    trials: Annotated[
        str, typer.Option(metavar="+N", help="+20 for 20 trials more than it is to have now, or 84 for 84 in all.")
    ],
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Let a sweep try more configurations, also after it has finished. Example: convnn extend quickstart --trials +6.

    The same study goes on, in the same folder and under the same MLflow parent run.
    """
    from tune_jobs import continuing

    place = storage_of(storage)
    follow(
        sweep,
        lambda progress: continuing.extend(sweep, progress, trials, storage=place, ray_address=address),
        as_json=as_json,
    )
