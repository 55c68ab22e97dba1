"""`convnn sync`."""

import sys
from contextlib import closing
from dataclasses import asdict

from tune_jobs.cli.shared.options import AsJson, Storage, Sweep, print_json, storage_of
from tune_jobs.record.folder import find_sweep, recorded_spec
from tune_jobs.record.manifest import manifest_tags, recorded_starts


def sync(sweep: Sweep, storage: Storage = None, *, as_json: AsJson = False) -> None:
    """Bring MLflow up to a sweep's record, where the tracker was away. Example: convnn sync quickstart.

    The tracker is that of the sweep's file, else MLFLOW_TRACKING_URI, else the one that it was shipped to before.
    """
    folder = find_sweep(sweep, storage_of(storage))
    spec = recorded_spec(folder)
    from tune_jobs.driver.sync import sync as sync_tracker
    from tune_jobs.record.lease import lease
    from tune_jobs.record.ledger import Ledger
    from tune_jobs.tracking.address import tracker_of

    with lease(folder.path):
        with closing(Ledger(folder.ledger, create=True)) as ledger:
            ledger.interrupt_running()
            tracker = tracker_of(spec.tracking.uri, folder, ledger)
        starts = recorded_starts(folder)
        tags = manifest_tags(starts[-1]) if starts else {}
        place = sync_tracker(
            folder, tracker, spec.experiment, tags, say=lambda text: print(text, file=sys.stderr, flush=True)
        )
    if as_json:
        print_json({"sweep": sweep, "tracker": asdict(place)})
    else:
        print(f"MLflow at {place.uri} has everything of {sweep}, in the experiment {spec.experiment!r}.")
        if place.page:
            print(f"Compare its trials there:\n  {place.page}")
