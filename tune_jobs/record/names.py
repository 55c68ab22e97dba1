"""The names of the files in a sweep folder."""

import re
from pathlib import PurePath

from tune_jobs.system.files import PARTIAL

LEDGER = "ledger.db"
SPEC = "sweep.yaml"
MANIFEST = "manifest.json"
REPORT = "report.html"
COMPARISON, COMPARISON_TABLE = "comparison.html", "comparison.csv"
STORE = "mlflow.db"
OWNER = "driver.json"
LOCK = "driver.lock"
STOPPING = "stopping"
PAUSING = "pausing"
STOP_TRIALS = "stop-trials"
TRIALS = "trials"
LOG = "log.txt"

_RUN_KEY = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def belongs_to_driver(path: PurePath) -> bool:
    """Whether a file in a sweep folder, by its path there, belongs to the driver and is left out of copies."""
    return path.suffix in (".lock", PARTIAL) or str(path) in (OWNER, STOPPING, PAUSING)


def can_be_run_key(text: object) -> bool:
    """Whether a text is a valid run key; a run key is used as the name of a folder."""
    return isinstance(text, str) and _RUN_KEY.fullmatch(text) is not None


def known(run_key: str, attempt: int = 1) -> str:
    """Return the run key if it is valid: with the attempt's number it becomes a path, and no other text may.

    Raises:
        ValueError: If it is not valid.
    """
    if not can_be_run_key(run_key) or not isinstance(attempt, int) or attempt < 1:
        raise ValueError(
            f"it has an attempt {str(attempt)[:80]!r} of a run {str(run_key)[:80]!r}, which are not valid names"
        )
    return run_key
