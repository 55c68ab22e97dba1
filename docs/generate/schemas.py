"""JSON Schema in words: possible values, defaults, and links to the descriptions of referenced types."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from generate.text import code, escaped, prose

Schema = dict[str, Any]
DOMAINS = ("choice", "int", "uniform", "log_uniform", "any_of")
_NAMES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
    "null": "`null`",
    "object": "mapping",
}
_UNITS = {"_hours": "hours", "_s": "seconds", "_gb": "10^9 bytes", "_bytes": "bytes", "_epochs": "epochs"}
Refer = Callable[[str], str]
"""Returns the text that refers to a definition described elsewhere, from its name."""


def options_of(schema: Schema) -> list[Schema]:
    """Return all alternatives of a value, without the domains of a sweep."""
    found = schema.get("anyOf") or schema.get("oneOf") or [schema]
    return [option for option in found if not _domains(option)]


def domains_of(schema: Schema) -> list[str]:
    """Return the domains that can replace a value."""
    return [name for option in schema.get("anyOf", []) for name in _domains(option)]


def _domains(option: Schema) -> list[str]:
    return [name for name in option.get("required", []) if name in DOMAINS and name in option.get("properties", {})]


def referred(schema: Schema, definitions: dict[str, Schema]) -> Iterator[str]:
    """Yield the names of the definitions with fields that a value refers to, directly or through others without."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if "properties" in definitions[name]:
            yield name
        else:
            yield from referred(definitions[name], definitions)
        return
    parts = [*schema.get("anyOf", []), *schema.get("oneOf", []), *schema.get("prefixItems", [])]
    parts += [schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)]
    for part in parts:
        if not _domains(part):
            yield from referred(part, definitions)


def branches(schema: Schema, definitions: dict[str, Schema]) -> bool:
    """Return whether the value can be an any_of."""
    found = definitions[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else {}
    return "any_of" in domains_of(found)


def value_text(schema: Schema, definitions: dict[str, Schema], refer: Refer) -> str:
    """Describe the possible values."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        found = definitions[name]
        return refer(name) if "properties" in found else value_text(found, definitions, refer)
    if "const" in schema or "enum" in schema:
        return ", ".join(code(_plain(value)) for value in schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema or "oneOf" in schema:
        texts = [value_text(option, definitions, refer) for option in options_of(schema)]
        return " or ".join(dict.fromkeys(texts))
    return _container_text(schema, definitions, refer) or _NAMES.get(schema.get("type", ""), "any value") + _limits(
        schema
    )


def _container_text(schema: Schema, definitions: dict[str, Schema], refer: Refer) -> str:
    """Describe a list or a mapping; return an empty text for anything else."""
    if schema.get("type") == "array":
        parts = [value_text(part, definitions, refer) for part in schema.get("prefixItems", [])]
        return f"list of {' and '.join(parts) or _several(value_text(schema.get('items', {}), definitions, refer))}"
    inner = schema.get("additionalProperties")
    return f"mapping of names to {_several(value_text(inner, definitions, refer))}" if isinstance(inner, dict) else ""


def _plain(value: object) -> str:
    """Return a value as written in a file."""
    return value if isinstance(value, str) else json.dumps(value)


def _several(text: str) -> str:
    return f"{text}s" if text in {"text", "number", "whole number", "any value", "mapping"} else text


def _limits(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f", {low:,} to {high:,}"
    limits = (("at least", low), ("above", above), ("at most", high), ("below", below))
    return "".join(f", {word} {limit:,}" for word, limit in limits if limit is not None)


def unit_of(field: str) -> str:
    """Return the unit of a field from its name's suffix; empty if it has none."""
    return next((unit for end, unit in _UNITS.items() if field.endswith(end)), "")


def default_text(schema: Schema, *, required: bool) -> str:
    """Return the default if it is short, otherwise "optional"."""
    if "default" not in schema:
        return "required" if required else ""
    if isinstance(schema["default"], dict | list) and schema["default"]:
        return "optional"
    return f"default {code(_plain(schema['default']))}"


def described(schema: Schema) -> str:
    """Return the description as Markdown."""
    return prose(schema.get("description", ""))


def anchor(title: str) -> str:
    """Return the anchor of a section with this title."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def heading(level: int, title: str) -> str:
    """Return the heading of a section, with its anchor."""
    return f"{'#' * level} {escaped(title)} {{ #{anchor(title)} }}\n"


def link(title: str, text: str | None = None) -> str:
    """Return a link to the section with this title."""
    return f"[{escaped(text or title)}](#{anchor(title)})"
