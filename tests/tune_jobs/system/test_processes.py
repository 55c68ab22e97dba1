import os
import subprocess
import sys

import pytest

from tune_jobs.system.processes import counts_here, identity_of, is_here, lives


def test_a_process_lives_until_it_has_ended() -> None:
    assert lives(os.getpid())
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert not lives(ended.pid)


def test_a_process_keeps_its_identity_while_it_lives() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        noted = identity_of(other.pid)
        assert noted is not None
        assert is_here(noted.as_dict())
        assert counts_here(noted.as_dict())
        assert not is_here(noted.as_dict() | {"pid": os.getpid()})
    assert not is_here(noted.as_dict())


@pytest.mark.parametrize("noted", [None, [], {}, {"pid": -1}, {"pid": 0}, {"pid": True}, {"pid": "1"}, {"pid": 10**30}])
def test_an_invalid_identity_matches_no_process(noted: object) -> None:
    assert not is_here(noted)
    assert not counts_here(noted)
