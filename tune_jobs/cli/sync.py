"""`convnn sync`."""

import sys
from dataclasses import asdict

from tune_jobs.cli.shared.options import AsJson, Storage, Sweep, print_json, storage_of
from tune_jobs.record.folder import find_sweep
from tune_jobs.system.visible import visible


def sync(sweep: Sweep, storage: Storage = None, *, as_json: AsJson = False) -> None:
    """Bring MLflow up to date with a sweep's record, after the tracker was down. Example: convnn sync quickstart.

    The tracker is that of the sweep's file, else MLFLOW_TRACKING_URI, else the one used before, else the store that all
    sweeps of the storage folder share. `convnn ui` does the same for all sweeps, and shows them.
    """
    folder = find_sweep(sweep, storage_of(storage))
    from tune_jobs.driver.sync import sync_recorded

    place = sync_recorded(folder, lambda text: print(text, file=sys.stderr, flush=True))
    if as_json:
        print_json({"sweep": sweep, "tracker": asdict(place)})
    else:
        print(f"MLflow at {place.uri} is up to date with {sweep}, in the experiment {place.experiment!r}.")
        if place.model:
            print(visible(f"Its champion is registered: {place.model}"))
        if place.uri.startswith("sqlite:"):
            print(f"Compare its trials there:\n  convnn ui {sweep}")
        elif place.page:
            print(f"Compare its trials there:\n  {place.page}")
