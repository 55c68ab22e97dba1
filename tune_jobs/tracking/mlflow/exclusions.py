"""Trials that the user has excluded: their runs in MLflow say why."""

from typing import Any

from tune_jobs.record.ledger import Ledger
from tune_jobs.record.requests import excluded
from tune_jobs.tracking.mlflow.inventory import Inventory
from tune_jobs.tracking.mlflow.retry import SyncHealth, is_refusal, reason_of

EXCLUDED_TAG = "excluded"
"""Tag with the reason why the user excluded a trial."""

EXCLUSION = 0
"""The ledger records the run with that tag as if it were this attempt number of the trial."""


def ship_exclusions(
    client: Any,  # noqa: ANN401 - MLflow has no types
    runs: Inventory,
    ledger: Ledger,
    health: SyncHealth,
) -> dict[str, str]:
    """Tag the run of each excluded trial with the reason, and remove the tag from trials that are included again.

    Returns:
        By run key, why MLflow refused the change.
    """
    requests, refused = ledger.requests(), {}
    left_out, latest = excluded(requests), runs.latest()
    for key in sorted({request.run_key for request in requests if request.asked in ("exclude", "include")}):
        reason = (left_out[key].why or "") if key in left_out else ""
        try:
            _tag(client, runs, health, (key, latest.get(key)), reason)
        except Exception as error:
            if not is_refusal(error):
                raise
            refused[key] = reason_of(error)
    return refused


def _tag(
    client: Any,  # noqa: ANN401
    runs: Inventory,
    health: SyncHealth,
    trial: tuple[str, str | None],
    reason: str,
) -> None:
    key, run = trial
    tagged, _, before = runs.noted(key, EXCLUSION) or (run, 0, "")
    if run is None or tagged is None or run in runs.deleted or (before, tagged if reason else run) == (reason, run):
        return
    if before and (tagged != run or not reason) and tagged not in runs.deleted:
        health.call(("taken in", tagged), client.set_tag, tagged, EXCLUDED_TAG, "")  # a missing tag cannot be deleted
        health.call(("taken in", tagged, "whole"), client.delete_tag, tagged, EXCLUDED_TAG)
    if reason:
        health.call(("exclude", run, reason), client.set_tag, run, EXCLUDED_TAG, reason)
    runs.note(key, EXCLUSION, run, 0, reason)
