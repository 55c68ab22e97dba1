from pathlib import Path

import pytest

from tests.tune_jobs.program import convnn


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "quickstar"], "convnn: quickstar is neither a file nor a preset; did you mean 'quickstart'?\n"),
        (["best"], "Error: Missing argument 'SWEEP'.\n"),
    ],
)
def test_the_installed_program_gives_the_same_answer_as_in_process(
    tmp_path: Path, arguments: list[str], said: str
) -> None:  # `test_mistakes.py` tests the other answers in this process
    assert convnn(*arguments, storage=tmp_path, expect=2).endswith(said)
