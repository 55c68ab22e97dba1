"""Tests of Python's garbage collector, in a separate process."""

import subprocess
import sys

CODE = """
import gc
from tune_jobs.system.garbage import THRESHOLDS, collect_rarely
before = gc.get_threshold()
collect_rarely()
assert gc.isenabled()
assert gc.get_threshold() == THRESHOLDS
assert before[0] <= THRESHOLDS[0]
"""


def test_garbage_is_collected_less_often_but_still_collected() -> None:
    subprocess.run([sys.executable, "-c", CODE], check=True)
