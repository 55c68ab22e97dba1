"""Tests of the environment of a process that trains."""

from pathlib import Path

import torch

from tune_jobs.record.environment import decode, encode
from tune_jobs.worker.environment import code_digest, environment_here


def test_the_environment_has_torchs_threads_and_survives_the_ledger() -> None:
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found = environment_here()
        assert found.threads == threads
        assert found.packages["torch"] == torch.__version__
        assert decode(encode(found)) == found
    torch.set_num_threads(before)


def test_any_change_of_the_code_changes_the_digest(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "a.py").write_text("x = 1\n")
    first, second = ((tmp_path / name / "inner",) for name in ("first", "second"))
    assert code_digest(first) == code_digest(second)
    code_digest.cache_clear()
    (second[0] / "a.py").write_text("x = 2\n")
    assert code_digest(first) != code_digest(second)
    code_digest.cache_clear()
    (second[0] / "a.py").write_text("x = 1\n")
    (second[0] / "a.py").rename(second[0] / "b.py")
    assert code_digest(first) != code_digest(second)
