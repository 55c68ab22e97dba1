"""The command line reference, from the output of `convnn COMMAND --help`."""

import re
from collections.abc import Iterator
from typing import Any

from typer import Context
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from generate.text import code, prose, table
from tune_jobs.cli.app import app

_EXAMPLE = re.compile(r"\s*Example: (convnn .*?)\.?\s*$", re.DOTALL)
_FIRST = re.compile(r"\s*Example: (convnn [^\n]*?)\. (?=[A-Z])")


def commands_page() -> str:
    """Return the page: one section per command, in the order of `convnn --help`."""
    root: Any = get_command(app)
    with root.make_context("convnn", [], resilient_parsing=True) as context:
        listed = list(_commands(root, context))
    rows = [
        (f"[`{path}`](#{path.replace(' ', '-')})", prose(command.get_short_help_str(200)))
        for path, command, _ in listed
    ]
    return "\n".join(
        [
            "# Commands\n",
            "Look up each command with its arguments and options, as `convnn COMMAND --help` prints them.",
            "Every command has `--help`; `convnn --version` prints the version.",
            "See also [exit codes](exit-codes.md) and [JSON output](json.md) for `--json`.\n",
            table(("Command", "What it does"), rows),
            *(_section(path, command, context) for path, command, context in listed),
        ]
    )


def _commands(group: TyperGroup, context: Context) -> Iterator[tuple[str, Any, Context]]:
    for name, command in group.commands.items():
        inner = type(context)(command, parent=context, info_name=name)
        yield inner.command_path, command, inner
        if isinstance(command, TyperGroup):
            yield from _commands(command, inner)


def _section(path: str, command: TyperCommand | TyperGroup, context: Context) -> str:
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    parts = [f"## {path}\n", f"```text\n{usage}\n```\n", *_help(command.help or "")]
    kinds: dict[str, list[tuple[str, str]]] = {"argument": [], "option": []}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and parameter.name != "help":
            kinds[parameter.param_type_name].append((code(record[0].strip()), prose(record[1])))
    for kind, rows in kinds.items():
        if rows:
            parts.append(table((kind.capitalize(), "Meaning"), rows))
    return "\n".join(parts)


def _help(text: str) -> Iterator[str]:
    """Yield the paragraphs of a help text, with examples as code blocks."""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        found = _EXAMPLE.search(paragraph) or _FIRST.search(paragraph)
        if found is None:
            yield prose(paragraph) + "\n"
            continue
        said = (paragraph[: found.start()] + " " + paragraph[found.end() :]).strip()
        yield f"{prose(said)}\n" if said else ""
        yield f"Example:\n\n```text\n{' '.join(found[1].split())}\n```\n"
