"""`convnn schema`."""

from search_spaces import json_schema
from tune_jobs.cli.shared.options import print_json


def schema() -> None:
    """Print the JSON Schema of sweep files, for completion in editors. Example: convnn schema > sweep.schema.json."""
    print_json(json_schema())
