import json
import math

from tune_jobs.system.json_text import json_text


def test_nan_and_infinity_are_null_at_any_depth() -> None:
    content = {"a": [1, math.nan, {"b": (math.inf, -math.inf, 2.5)}], "é": None}
    text = json_text(content)
    assert json.loads(text) == {"a": [1, None, {"b": [None, None, 2.5]}], "é": None}
    assert json.loads(json_text(content, indent=None)) == json.loads(text)
    assert "\n" in text
    assert json_text({"a": [1, 2]}, indent=None) == '{"a":[1,2]}'
