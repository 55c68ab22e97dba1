"""How often Python's garbage collector runs."""

import gc

THRESHOLDS = 50_000, 20, 20
"""Collection thresholds of the three generations; Python 3.11 has 700, 10 and 10."""


def collect_rarely() -> None:
    """Run the garbage collector less often in this process.

    Importing Ray, MLflow and torch creates objects that live as long as the process. Scanning them again and again
    takes a sixth of the time of these imports.
    """
    gc.set_threshold(*THRESHOLDS)
