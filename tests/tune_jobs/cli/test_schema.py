import json
from pathlib import Path

from tests.tune_jobs.program import convnn


def test_the_schema_is_json(tmp_path: Path) -> None:
    assert json.loads(convnn("schema", storage=tmp_path))["title"] == "ConvNN sweep"
