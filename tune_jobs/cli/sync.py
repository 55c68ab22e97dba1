"""`convnn sync`."""

import sys
from contextlib import closing

from tune_jobs.cli.options import AsJson, Storage, Sweep, print_json, storage_of
from tune_jobs.storage import find_sweep, last_start, manifest_tags, recorded_spec


def sync(sweep: Sweep, storage: Storage = None, *, as_json: AsJson = False) -> None:
    """Bring MLflow up to a sweep's record, where the tracker was away. Example: convnn sync quickstart.

    The tracker is the sweep's, or MLFLOW_TRACKING_URI where the sweep's file names none.
    """
    folder = find_sweep(sweep, storage_of(storage))
    spec = recorded_spec(folder)
    from tune_jobs.ledger import Ledger, lease
    from tune_jobs.tracking import sync as sync_tracker
    from tune_jobs.tracking import tracker_of

    start = last_start(folder)
    tracker, experiment = tracker_of(spec.tracking.uri, folder), spec.tracking.experiment or spec.name
    with lease(folder.path):
        with closing(Ledger(folder.ledger, create=True)) as ledger:
            ledger.interrupt_running()
        tags = manifest_tags(start) if start else {}
        sync_tracker(folder, tracker, experiment, tags, say=lambda text: print(text, file=sys.stderr, flush=True))
    if as_json:
        print_json({"sweep": sweep, "tracker": {"uri": tracker, "experiment": experiment, "error": None}})
    else:
        print(f"MLflow at {tracker} has everything of {sweep}, in the experiment {experiment!r}.")
