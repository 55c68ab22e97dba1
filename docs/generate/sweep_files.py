"""The reference of sweep files, from their JSON Schema."""

from dataclasses import dataclass, field

from generate.schemas import (
    Schema,
    branches,
    default_text,
    described,
    domains_of,
    heading,
    link,
    referred,
    unit_of,
    value_text,
)
from generate.text import code, prose, table
from search_spaces.schema import DOMAINS as MEANINGS
from search_spaces.schema import json_schema

HEAD = """# Sweep files

Look up every field of a sweep file. This page is made from the JSON Schema that `convnn schema` prints and editors use.
Most fields have a default: a file needs only `name` and, in `space`, a `model`. A misspelled field is an error.
`convnn validate FILE` reports all mistakes together.

## What may vary

In `space`, a field's value can be a domain, and a section can be a list of alternatives (`any_of`), each with separate
fields and domains. The tables show which domains each field accepts.
"""
EXAMPLES = {
    "choice": "lr: {choice: [1e-4, 3e-4]}",
    "int": "k: {int: [1, 12]}",
    "uniform": "dropout: {uniform: [0, 0.5]}",
    "log_uniform": "lr: {log_uniform: [1e-5, 1e-3]}",
    "log": "r: {int: [16, 256], log: true}",
    "step": "k: {int: [1, 13], step: 2}",
    "any_of": "layer: {any_of: [{kind: conv2d}, {kind: convnn, k: 9}]}",
}
"""`tests/test_site.py` reads each one as part of a sweep file."""


@dataclass
class _Sections:
    """The definitions with fields, in the order of a sweep file, and the places of each."""

    definitions: dict[str, Schema]
    places: dict[str, list[str]] = field(default_factory=dict)

    def meet(self, owner: Schema, path: str) -> None:
        for (name, *_), value in _alike(owner):
            at = f"{path}{name}"
            for found in referred(value, self.definitions):
                places = self.places.setdefault(found, [])
                if at not in places:
                    places.append(at)
                    self.meet(self.definitions[found], f"{at}.")

    def title(self, name: str) -> str:
        """Return the last part of its first place in a file, and its kind if it has one."""
        told = _kind(self.definitions[name])
        last = self.places[name][0].rpartition(".")[2]
        return f"{last}: {told}" if told else last

    def rows(self, owner: Schema) -> list[tuple[str, str, str]]:
        return [self._row(names, value, owner) for names, value in _alike(owner)]

    def _row(self, names: list[str], value: Schema, owner: Schema) -> tuple[str, str, str]:
        name = names[0]
        required = name in owner.get("required", ())
        kinds = list(referred(value, self.definitions))
        text = value_text(value, self.definitions, lambda found: self._refer(found, several=len(kinds) > 1))
        unit = unit_of(name)
        varying = ["any_of"] if branches(value, self.definitions) else domains_of(value)
        parts = [f"{text}{', in ' + unit if unit else ''}", default_text(value, required=required)]
        if varying and not ("const" in value or _fixed(value)):
            parts.append("can vary by " + ", ".join(code(one) for one in varying))
        meaning = described(value)
        if len(kinds) > 1:
            told = (f"{self._refer(found, several=True)}: {described(self.definitions[found])}" for found in kinds)
            meaning = "<br>".join(told)
        return ", ".join(map(code, names)), "<br>".join(part for part in parts if part), meaning

    def _refer(self, name: str, *, several: bool) -> str:
        return link(self.title(name), _kind(self.definitions[name]) if several else None)


def _alike(owner: Schema) -> list[tuple[list[str], Schema]]:
    """Group fields into rows: neighbors with the same sections share one, such as the ranges of VGG-11's layers."""
    found: list[tuple[list[str], Schema]] = []
    for name, value in owner.get("properties", {}).items():
        if found and "$ref" in value and value["$ref"] == found[-1][1].get("$ref"):
            found[-1][0].append(name)
        else:
            found.append(([name], value))
    return found


def _fixed(value: Schema) -> bool:
    return any("const" in option for option in value.get("anyOf", ()))


def _kind(definition: Schema) -> str:
    """Return the value that distinguishes a definition from others in its place, such as `asha`."""
    for name in ("kind", "name", "sampler", "protocol"):
        value = definition["properties"].get(name, {})
        for option in (value, *value.get("anyOf", ())):
            if "const" in option:
                return str(option["const"])
    return ""


def sweep_files_page() -> str:
    """Return the page: a table of every section."""
    schema = json_schema()
    sections = _Sections(schema["$defs"])
    sections.meet(schema, "")
    parts = [HEAD, table(("Domain", "Meaning", "Example"), _domain_rows()), "## The file\n"]
    parts.append(table(("Field", "Value", "Meaning"), sections.rows(schema)))
    for name, places in sections.places.items():
        definition = schema["$defs"][name]
        parts.append(heading(2, sections.title(name)))
        parts.append(f"{described(definition)} At {', '.join(code(place) for place in places)}.\n")
        parts.append(table(("Field", "Value", "Meaning"), sections.rows(definition)))
    return "\n".join(parts)


def _domain_rows() -> list[tuple[str, str, str]]:
    return [(code(name), prose(meaning), code(EXAMPLES[name])) for name, meaning in MEANINGS.items()]
