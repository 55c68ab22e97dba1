"""The reference of `--json` output, from the types that `convnn schema --output` describes."""

from typing import Any

from pydantic import TypeAdapter

from generate.schemas import Schema, described, heading, link, referred, unit_of, value_text
from generate.text import code, table
from tune_jobs.cli.shared.outputs import OUTPUTS

HEAD = """# JSON output

Look up the keys that each command prints with `--json`. The output is one JSON object (or list) on standard output,
and nothing else. Accuracies, shares and probabilities are fractions. Durations are in seconds. Times are ISO 8601 or,
as numbers, seconds since 1970. NaN and infinity, which JSON does not have, are `null`. `convnn schema --output
COMMAND` prints the JSON Schema.
"""


def outputs_page() -> str:
    """Return the page: one section per command, then one per shared type."""
    inputs: list[tuple[str, Any, TypeAdapter[Any]]] = [
        (command, "serialization", TypeAdapter(OUTPUTS[command])) for command in sorted(OUTPUTS)
    ]
    made, whole = TypeAdapter.json_schemas(inputs)
    types = _Types(whole["$defs"])
    parts = [HEAD, "## By command\n"]
    for command, *_ in inputs:
        parts += [f"### convnn {command}\n", types.shown(made[command, "serialization"])]
    parts.append("## Types\n")
    for name in sorted(types.found, key=types.title):
        parts += [heading(3, types.title(name)), types.fields(name)]
    return "\n".join(parts)


class _Types:
    """The types with keys in the output of commands; `found` are those that something refers to."""

    def __init__(self, definitions: dict[str, Schema]) -> None:
        self.definitions = definitions
        self.found: list[str] = []

    def title(self, name: str) -> str:
        """Return the title of a type, with its module's name if two types have the same title."""
        called = self.definitions[name]["title"]
        alike = [found for found in self.definitions.values() if found.get("title") == called]
        return called if len(alike) == 1 else f"{called} ({name.split('__')[-2]})"

    def shown(self, schema: Schema) -> str:
        """Describe a command's output: its keys if it has one type, otherwise the types."""
        if "$ref" in schema:
            return self.fields(schema["$ref"].rpartition("/")[2])
        self._find(schema)
        text = value_text(schema, self.definitions, self._refer)
        return f"{text[0].upper()}{text[1:]}.\n"

    def fields(self, name: str) -> str:
        """Return a table of the keys of a type."""
        owner, rows = self.definitions[name], []
        for key, value in owner["properties"].items():
            self._find(value)
            unit = unit_of(key)
            text = f"{value_text(value, self.definitions, self._refer)}{', in ' + unit if unit else ''}"
            rows.append((code(key), text, "" if key in owner.get("required", ()) else "optional", described(value)))
        return f"{described(owner)}\n\n{table(('Key', 'Value', ' ', 'Meaning'), rows)}"

    def _refer(self, name: str) -> str:
        return link(self.title(name))

    def _find(self, schema: Schema) -> None:
        for name in referred(schema, self.definitions):
            if name not in self.found:
                self.found.append(name)
                for value in self.definitions[name]["properties"].values():
                    self._find(value)
