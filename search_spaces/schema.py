"""The JSON Schema of a sweep file, for editors; derived from the models that validate it."""

from typing import Any

from search_spaces.settings import SweepFile
from search_spaces.trial import TrialConfig

FILE = "convnn.schema.json"
"""The file name of the schema in a sweep file's comment; a copy is stored beside the presets."""

EDITOR_LINE = f"# yaml-language-server: $schema={FILE}"
"""The comment that points a sweep file to its schema; VS Code's YAML extension and PyCharm read it."""


def json_schema() -> dict[str, Any]:
    """Return the schema: below `space`, each leaf is a value or a domain, each mapping itself or an any_of."""
    schema = SweepFile.model_json_schema(by_alias=True)
    definitions = schema["$defs"]
    for name in ["TrialConfig", *TrialConfig.model_json_schema(by_alias=True).get("$defs", {})]:
        properties = definitions[name].get("properties", {})
        for field, value in properties.items():
            if not _discriminates(value):
                properties[field] = _varying(value, definitions)
    schema["properties"]["space"] = _varying(schema["properties"]["space"], definitions)
    for definition in (schema, *definitions.values()):
        _describe(definition, definitions)
    return {**schema, "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "ConvNN sweep"}


DOMAINS = {
    "choice": "One of these values.",
    "int": "Any integer between these two, both included.",
    "uniform": "Any number between these two.",
    "log_uniform": "Any number between these two, uniform in logarithm.",
    "log": "Sample uniformly in logarithm.",
    "step": "Step between values, counted from the first one.",
    "any_of": "One of these mappings, each with its own fields.",
}


def _describe(owner: dict[str, Any], definitions: dict[str, Any]) -> None:
    """Describe fields without a description by the models they refer to; a discriminator by its own model."""
    for value in owner.get("properties", {}).values():
        if "description" in value:
            continue
        if "const" in value or any("const" in option for option in value.get("anyOf", [])):
            value["description"] = owner.get("description", "")
        else:
            refs = [part["$ref"] for part in (value, *value.get("oneOf", [])) if "$ref" in part]
            value["description"] = " Or: ".join(_described(ref.rpartition("/")[2], definitions) for ref in refs)


def _described(name: str, definitions: dict[str, Any]) -> str:
    found = definitions[name]
    if "anyOf" in found:  # a branch, or an any_of of branches
        inner = found["anyOf"][0]
        refs = [part["$ref"] for part in inner.get("oneOf", [inner])]
        return " Or: ".join(_described(ref.rpartition("/")[2], definitions) for ref in refs)
    return str(found.get("description", "")).partition("\n")[0]


def _discriminates(field: dict[str, Any]) -> bool:
    return field.get("title") == "Kind" and "const" in field


def _varying(field: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {key: field[key] for key in ("description", "default", "title") if key in field}
    value = {key: item for key, item in field.items() if key not in kept}
    if kept.get("default", "") is None and any("$ref" in part for part in (value, *_options(value))):
        del kept["default"]  # an optional mapping; null is not allowed
        value = next((part for part in value.get("anyOf", []) if "$ref" in part), value)
    if "$ref" in value or "oneOf" in value:
        return {**kept, "$ref": _branching(value, definitions)}
    options = [
        value,
        _mapping({"choice": {"type": "array", "items": value, "minItems": 1, "uniqueItems": True}}, ["choice"]),
    ]
    types = {part.get("type") for part in [value, *value.get("anyOf", [])]}
    pair = {"type": "array", "items": value, "minItems": 2, "maxItems": 2}
    if "integer" in types:
        steps = {"log": {"type": "boolean"}, "step": {"type": "integer", "minimum": 1}}
        options.append(_mapping({"int": pair, **steps}, ["int"]))
    if "number" in types:
        options += [_mapping({name: pair}, [name]) for name in ("uniform", "log_uniform")]
    return {**kept, "anyOf": options}


def _options(value: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = value.get("anyOf", []) + value.get("oneOf", [])
    return found


def _branching(value: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Define `value` or an any_of of such values, which may nest; return the definition's address."""
    value.pop("discriminator", None)
    refs = [part["$ref"] for part in value.get("oneOf", [value])]
    name = "Or".join(ref.rpartition("/")[2] for ref in refs) + "Space"
    address = f"#/$defs/{name}"
    options = {"type": "array", "items": {"$ref": address}, "minItems": 1}
    definitions[name] = {"anyOf": [value, _mapping({"any_of": options}, ["any_of"])]}
    return address


def _mapping(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    properties = {name: {"description": DOMAINS[name], **value} for name, value in properties.items()}
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
