"""Python's collector of garbage, in a process of its own."""

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


def test_garbage_is_looked_for_less_often_but_still_is() -> None:
    subprocess.run([sys.executable, "-c", CODE], check=True)
