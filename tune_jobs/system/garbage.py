"""How often Python looks for garbage."""

import gc

THRESHOLDS = 50_000, 20, 20
"""Objects, and collections of the younger ones, between two collections; 700, 10 and 10 in Python 3.11."""


def collect_rarely() -> None:
    """Look for garbage less often in this process.

    Importing Ray, MLflow and torch makes objects that live as long as the process. Looking through them again and again
    takes a sixth of the time of these imports.
    """
    gc.set_threshold(*THRESHOLDS)
