"""Properties of all kinds: module, schema, defaults, use in a sweep file."""

import json
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from convnn.plugins import Plugin
from search_spaces import SpecError, parse_sweep
from search_spaces.reading.document import dumped
from search_spaces.reading.fields import fields_of, is_valid, models_of, rule_of
from search_spaces.schema import json_schema
from tune_jobs.conformance.outcome import Property, require
from tune_jobs.conformance.settings import read, trees, unreadable, unsaid, varied

if TYPE_CHECKING:
    from search_spaces.base import Config

HEAVY = ("torch", "torchvision", "ray", "mlflow", "optuna")
IMPORT_S = 120.0


@dataclass(frozen=True)
class Subject:
    """A kind to check."""

    group: str
    name: str
    plugin: Plugin | None
    found: Any
    """The class, or the facts of a data set."""

    module: str
    """The module that defines the settings."""

    key: str = ""
    """The field with the name of the kind."""


def general(subject: Subject) -> list[Property]:
    """Return the properties of a kind's settings."""
    return [
        loads_light(subject.module),
        ("the schema describes it", partial(_described, subject)),
        ("its defaults are valid", partial(_defaults, subject)),
    ]


def loads_light(module: str) -> Property:
    """Check that the settings load without torch, so that `convnn validate` stays fast."""
    return ("its settings load without torch", partial(_light, module, HEAVY))


def loads_light_maker(made_by: str) -> Property:
    """Check that a sampler, stopping rule or source of images loads without torch, as the driver never loads torch."""
    heavy = tuple(name for name in HEAVY if name != "optuna")
    return ("its implementation loads without torch", partial(_light, made_by.partition(":")[0], heavy))


def in_file(file: dict[str, Any], place: tuple[str, ...]) -> Property:
    """Check that a sweep file can use a kind.

    Args:
        file: A file that uses it.
        place: The path of its settings in the file.
    """
    return ("a sweep file can use it", partial(_in_file, file, place))


@cache
def _light(module: str, heavy: tuple[str, ...]) -> str:
    require(module, "its class must name the function that makes it: made_by = 'package.module:name'")
    code = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(  # noqa: S603 - this Python and an installed module
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=IMPORT_S
    )
    last = (done.stderr.strip().splitlines() or [""])[-1]
    require(done.returncode == 0, f"{module} cannot be imported: {last}")
    found = done.stdout.strip().splitlines()[-1]
    require(
        found == "[]",
        f"{module} imports {found.strip('[]')}; move the code that needs it to another module, and refer to it as "
        f"'package.module:name'",
    )
    return module


def _described(subject: Subject) -> str:
    kind: type[Config] = subject.found
    bad = unreadable(kind, subject.key)
    require(
        not bad, f"{', '.join(bad)} must be a number, text, a boolean, a Literal of words, or a Config of these types"
    )
    definition = json_schema()["$defs"].get(kind.__name__)
    require(
        definition is not None, f"the schema has no definition {kind.__name__}; does another kind use this class name?"
    )
    assert definition is not None
    lacking = [name for name in fields_of(kind) if name not in definition.get("properties", {})]
    require(
        not lacking, f"the schema lacks {', '.join(lacking)}; does another kind use the class name {kind.__name__}?"
    )
    silent = unsaid(kind, subject.key)
    require(not silent, f"{', '.join(silent)} must have a description: Field(description=...)")
    require(
        kind.__doc__ and kind.__doc__ != kind.__mro__[1].__doc__, "its class must have a docstring that describes it"
    )
    json.dumps(definition)
    return f"{len(fields_of(kind))} fields"


def _defaults(subject: Subject) -> str:
    kind: type[Config] = subject.found
    for name, info in fields_of(kind).items():
        wrong = not info.is_required() and not models_of(info)[0] and not is_valid(info, info.default)
        require(not wrong, f"the default of {name} must be {rule_of(info) if wrong else ''}; got {info.default!r}")
    for tree in trees(kind, subject.key):
        config = read(kind, tree)
        said = config.model_dump(by_alias=True, mode="json")
        require(
            kind.model_validate_json(json.dumps(said)) == config,
            f"it changes when written to JSON and read back: {said}",
        )
        require(pickle.loads(pickle.dumps(config)) == config, "it changes when pickled and loaded")  # noqa: S301 - written in this process
    return f"{len(varied(kind, subject.key))} settings tested"


def _in_file(file: dict[str, Any], place: tuple[str, ...]) -> str:
    text = dumped(file)
    try:
        parse_sweep(text)
    except SpecError as error:
        require(False, f"a file that uses it is refused: {' '.join(str(error).split())}")
    misspelled = json.loads(json.dumps(file))
    inner = misspelled
    for name in place:
        inner = inner[name]
    inner["no_such_field"] = 1
    try:
        parse_sweep(dumped(misspelled))
    except SpecError as error:
        require(
            "no_such_field is not a field" in str(error),
            f"the message for a misspelled field does not name it: {error}",
        )
    else:
        require(False, "a misspelled field is accepted")
    return ""
