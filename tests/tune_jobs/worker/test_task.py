import json
from dataclasses import replace
from pathlib import Path

import pytest

from search_spaces.settings import Paper
from tests.tune_jobs.worker.test_attempt import task
from tune_jobs.worker.task import decode_task


def test_a_task_survives_encoding(tmp_path: Path) -> None:
    sent = replace(task(tmp_path / "1", (tmp_path / "checkpoint-000002.pt",)), alone=True)
    assert decode_task(json.loads(json.dumps(sent.encode()))) == sent
    other = replace(sent, evaluation=Paper(protocol="paper"))
    assert decode_task(other.encode() | {"id": other.id, "avoid": []}) == other


@pytest.mark.parametrize("number", [1, 12])
def test_the_tasks_of_a_sweep_have_unique_names(tmp_path: Path, number: int) -> None:
    one = task(tmp_path)
    assert replace(one, attempt=number).id == f"key-{number}"
