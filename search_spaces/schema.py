"""The JSON Schema of a sweep file, for editors; derived from the models that validate it."""

from typing import Any

from search_spaces.sweep import SweepFile
from search_spaces.trial import TrialConfig

_NUMBER_DOMAINS = {
    "integer": {
        "int": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
        "log": {"type": "boolean"},
        "step": {"type": "integer", "minimum": 1},
    },
}


def json_schema() -> dict[str, Any]:
    """The schema: each leaf below `space` is its value or a domain, each mapping itself or an any_of."""
    schema = SweepFile.model_json_schema(by_alias=True)
    trial = TrialConfig.model_json_schema(by_alias=True)
    spaces = {"TrialConfig", *trial.get("$defs", {})}
    for name in spaces:
        definition = schema["$defs"][name]
        kinds = {"kind", "name"} if name != "Data" else set()
        for field, value in definition.get("properties", {}).items():
            if field in kinds and ("const" in value):
                continue
            definition["properties"][field] = _varying(value)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "ConvNN sweep", **schema}


def _varying(field: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {key: field[key] for key in ("description", "default", "title") if key in field}
    value = {key: item for key, item in field.items() if key not in kept}
    if "$ref" in value or "oneOf" in value:
        value.pop("discriminator", None)
        any_of = _mapping({"any_of": {"type": "array", "items": value, "minItems": 1}}, ["any_of"])
        return {**kept, "anyOf": [value, any_of]}
    options = [value, _mapping({"choice": {"type": "array", "items": value, "minItems": 1}}, ["choice"])]
    types = {part.get("type") for part in [value, *value.get("anyOf", [])]}
    pair = {"type": "array", "items": value, "minItems": 2, "maxItems": 2}
    if "integer" in types:
        options.append(_mapping({**_NUMBER_DOMAINS["integer"], "int": pair}, ["int"]))
    if "number" in types:
        options += [_mapping({name: pair}, [name]) for name in ("uniform", "log_uniform")]
    return {**kept, "anyOf": options}


def _mapping(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
