"""Standard JSON, without NaN and infinity."""

import json
from typing import Any


def json_text(content: Any, *, indent: int | None = 2) -> str:  # noqa: ANN401 - any JSON
    """Return the content as JSON. NaN and infinity, which JSON lacks, become null. Compact if `indent` is `None`."""
    separators = (",", ":") if indent is None else None
    return json.dumps(_finite(content), indent=indent, separators=separators, ensure_ascii=False, allow_nan=False)


def _finite(content: Any) -> Any:  # noqa: ANN401
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float) and content - content != 0:  # inf and nan
        return None
    return content
