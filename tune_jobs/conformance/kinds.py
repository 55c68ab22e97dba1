"""What a kind of any sort keeps to: its module, its schema, its defaults, its place in a sweep file."""

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
    """A kind that is looked at."""

    group: str
    name: str
    plugin: Plugin | None
    found: Any
    """Its class, or the facts of a data set."""

    module: str
    """Where its settings are defined."""

    key: str = ""
    """The field that has its name."""


def general(subject: Subject) -> list[Property]:
    """The properties of a kind's settings."""
    return [
        loads_light(subject.module),
        ("the schema describes it", partial(_described, subject)),
        ("its defaults are valid", partial(_defaults, subject)),
    ]


def loads_light(module: str) -> Property:
    """`convnn validate` answers in a second."""
    return ("its settings load without torch", partial(_light, module, HEAVY))


def loads_light_maker(made_by: str) -> Property:
    """The driver of a sweep loads no torch."""
    heavy = tuple(name for name in HEAVY if name != "optuna")
    return ("what makes it loads without torch", partial(_light, made_by.partition(":")[0], heavy))


def in_file(file: dict[str, Any], place: tuple[str, ...]) -> Property:
    """A sweep file may name a kind.

    Args:
        file: A file that names it.
        place: Where its settings are in that.
    """
    return ("a sweep file can name it", partial(_in_file, file, place))


@cache
def _light(module: str, heavy: tuple[str, ...]) -> str:
    require(module, "its class must say what makes it: made_by = 'package.module:name'")
    code = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(  # noqa: S603 - this Python, and a module that is installed
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=IMPORT_S
    )
    last = (done.stderr.strip().splitlines() or [""])[-1]
    require(done.returncode == 0, f"{module} cannot be imported by itself: {last}")
    found = done.stdout.strip().splitlines()[-1]
    require(
        found == "[]",
        f"{module} imports {found.strip('[]')}; move what needs it to a module that the settings name as "
        f"'package.module:name'",
    )
    return module


def _described(subject: Subject) -> str:
    kind: type[Config] = subject.found
    bad = unreadable(kind, subject.key)
    require(not bad, f"{', '.join(bad)} must be numbers, text, true or false, one of some words, or a Config of those")
    definition = json_schema()["$defs"].get(kind.__name__)
    require(definition is not None, f"the schema has no definition {kind.__name__}; is another kind's class called so?")
    assert definition is not None
    lacking = [name for name in fields_of(kind) if name not in definition.get("properties", {})]
    require(not lacking, f"the schema lacks {', '.join(lacking)}; is another kind's class called {kind.__name__}?")
    silent = unsaid(kind, subject.key)
    require(not silent, f"{', '.join(silent)} must have a description: Field(description=...)")
    require(
        kind.__doc__ and kind.__doc__ != kind.__mro__[1].__doc__, "its class must have a docstring that says what it is"
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
            kind.model_validate_json(json.dumps(said)) == config, f"it is not the same once written as JSON: {said}"
        )
        require(pickle.loads(pickle.dumps(config)) == config, "it is not the same once pickled")  # noqa: S301 - our own
    return f"{len(varied(kind, subject.key))} settings tried"


def _in_file(file: dict[str, Any], place: tuple[str, ...]) -> str:
    text = dumped(file)
    try:
        parse_sweep(text)
    except SpecError as error:
        require(False, f"a file that names it is refused: {' '.join(str(error).split())}")
    misspelt = json.loads(json.dumps(file))
    inner = misspelt
    for name in place:
        inner = inner[name]
    inner["no_such_field"] = 1
    try:
        parse_sweep(dumped(misspelt))
    except SpecError as error:
        require("no_such_field is not a field" in str(error), f"a misspelt field is answered with: {error}")
    else:
        require(False, "a misspelt field is not answered")
    return ""
