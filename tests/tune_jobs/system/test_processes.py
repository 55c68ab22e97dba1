import os
import subprocess
import sys

from tune_jobs.system.processes import lives


def test_a_process_lives_until_it_has_ended() -> None:
    assert lives(os.getpid())
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert not lives(ended.pid)
