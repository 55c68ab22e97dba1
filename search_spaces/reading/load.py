"""Read a sweep from a file, a preset or text: return a SweepSpec, or report every mistake together."""

import os.path
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from search_spaces import presets
from search_spaces.constraints import Ranges, read_constraints
from search_spaces.contradictions import contradictions
from search_spaces.nodes import Group, resolve
from search_spaces.reading.document import (
    LARGEST_FILE,
    Place,
    Problem,
    SpecError,
    compose,
    dumped,
    override,
    too_large,
    value_of,
)
from search_spaces.reading.likeness import MOST_ALIKE, alike, did_you_mean
from search_spaces.reading.reader import Reader
from search_spaces.settings import Grid, Holdout, SweepFile
from search_spaces.space import Space
from search_spaces.sweep import SweepSpec


def load_sweep(file: str | Path, overrides: Sequence[str] = ()) -> SweepSpec:
    """Read a sweep from a file, or from the preset with that name.

    Args:
        file: Path of a YAML file, or a preset's name.
        overrides: `path=value` assignments, applied in order.

    Raises:
        SpecError: With every mistake, each with file, line and column.
        FileNotFoundError: If neither a file nor a preset has that name.
        OSError: If the file cannot be read.
    """
    path = Path(file)
    if not path.is_file() and path.name == str(file) and not path.suffix:
        if str(file) in presets.names():
            path = presets.path(str(file))
        elif not path.exists():
            raise FileNotFoundError(f"{file} is neither a file nor a preset; {presets.hint(str(file))}")
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; {_instead(path)}")
    if path.is_dir():
        raise FileNotFoundError(f"{path} is a folder; give the sweep's YAML file.")
    with path.open("rb") as opened:
        content = opened.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise SpecError([too_large(str(path), max(len(content), path.stat().st_size))])
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].split(b"\n")
        place = Place(str(path), len(before), len(before[-1].decode("utf-8", "replace")) + 1)
        rule = f"a sweep file must be text in UTF-8, got byte 0x{content[error.start]:02X}; save it as UTF-8."
        raise SpecError([Problem(place, "", rule)]) from error
    base = Path.cwd() if path.parent == presets.FOLDER else path.absolute().parent
    return parse_sweep(text.replace("\r\n", "\n"), str(path), overrides, base)


def _instead(path: Path) -> str:
    """Suggest a preset or a file beside it for a file that does not exist."""
    if path.name == str(path) and path.stem in presets.names():
        return f"to use the preset, leave out the file extension: {path.stem}."
    if not path.parent.is_dir():
        return f"its folder {path.parent} does not exist either; check the path."
    beside = {file.stem: str(file) for file in sorted(path.parent.glob("*.y*ml")) if file.is_file()}
    found = [beside[stem] for stem in alike(path.stem, beside)]
    return did_you_mean(found) if 0 < len(found) <= MOST_ALIKE else "check the path, or create a file: convnn init FILE"


def parse_sweep(
    text: str, source: str = "sweep.yaml", overrides: Sequence[str] = (), base: Path | None = None
) -> SweepSpec:
    """Read a sweep from YAML text; see `load_sweep`.

    Relative image folders are relative to `base`, and in overrides to the current folder. `base` defaults to the
    current folder.
    """
    root = compose(text, source)
    moved = _anchor(root, _DATA_ROOT, base or Path.cwd())
    for assignment in overrides:
        override(root, assignment)
    moved |= _anchor(root, _DATA_ROOT, Path.cwd())
    reader = Reader()
    listed = next((value for key, value in root.value if key.value == "constraints"), None)
    constraints, mistakes = read_constraints(listed, _ranges(root))
    fields = [(key, value) for key, value in root.value if key.value != "constraints"]
    tree = reader.read(SweepFile, MappingNode(root.tag, fields, root.start_mark), varying="space")
    reader.problems += mistakes
    reader.require_few()
    _check_geometry(reader)
    if listed is not None and not mistakes and "space" in reader.whole:
        reader.problems += _unsatisfied(Space(reader.whole["space"], constraints), listed)
    if isinstance(tree, Group):
        rest = {name: resolve(node, _NoChoice()) for name, node in tree.fields.items() if name != "space"}
        settings = SweepFile.model_validate(
            {**rest, "space": {"model": {"name": "vgg11", "layer": {"kind": "conv2d"}}}}
        )
        space = Space(tree.fields["space"], constraints, settings.resources.trial_mem_gb)
        spec = _assemble(settings, space, _as_run(root, overrides) if overrides or moved else text)
        for path, message in contradictions(spec, settings.objective):
            reader.problems.append(Problem(reader.place(path), path, message))
        if not reader.problems:
            return spec
    raise SpecError(reader.problems)


def _ranges(root: Node) -> Ranges:
    """Return the ranges of layers that a file names, including those in the options of an any_of, with their kinds."""
    found: dict[str, frozenset[str]] = {}
    for key, value in _below("layers", root):
        said = {kind.value for name, kind in _entries(value) if name == "kind" and isinstance(kind, ScalarNode)}
        found[key] = found.get(key, frozenset()) | said
    return tuple(found.items())


def _below(section: str, node: Node) -> Iterator[tuple[str, Node]]:
    """Yield the entries of every mapping of this name."""
    for name, value in _entries(node):
        yield from _entries(value) if name == section else _below(section, value)


def _entries(node: Node) -> Iterator[tuple[str, Node]]:
    """Yield the entries of a mapping; of all options, if it is an any_of."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if key.value == "any_of" and isinstance(value, SequenceNode):
                for option in value.value:
                    yield from _entries(option)
            else:
                yield key.value, value


def with_trials(spec: SweepSpec, trials: int) -> SweepSpec:
    """Return the same search with another number of trials.

    Raises:
        ValueError: If it is a grid, whose trials are given by its space.
        SpecError: If `trials` is out of range.
    """
    if isinstance(spec.search, Grid):
        raise ValueError(  # noqa: TRY004 - the type is right, the kind is wrong
            f"{spec.name} is a grid and already runs every trial of its space; give its fields more values under "
            f"another name, or search with sampler: tpe or random, which take a number of trials."
        )
    more = parse_sweep(spec.text, overrides=[f"search.trials={trials}"])
    return replace(more, name=spec.name, tracking=spec.tracking)


def sets_trials(overrides: Sequence[str]) -> bool:
    """Return whether one of these `path=value` assignments sets the number of trials."""
    parts = [assignment.partition("=") for assignment in overrides]
    return any(path == "search.trials" or (path == "search" and "trials" in value) for path, _, value in parts)


_DATA_ROOT = ("space", "data", "root")


def _anchor(node: Node, names: tuple[str, ...], base: Path) -> bool:
    """Make the folders at a path absolute, so that they do not depend on where trials run; return if any changed."""
    if isinstance(node, MappingNode):
        below = {names[0]: names[1:], "any_of": names} if names else {"choice": names}
        moved = [_anchor(value, below[key.value], base) for key, value in node.value if key.value in below]
        return any(moved)
    if isinstance(node, SequenceNode):
        moved = [_anchor(item, names, base) for item in node.value]
        return any(moved)
    folder = value_of(node)
    if names or not isinstance(folder, str) or folder[:1] in ("", "~", "$") or os.path.isabs(folder):  # noqa: PTH117 - there may be a megabyte of them
        return False
    node.value = str(base / folder)
    return True


class _NoChoice:
    def choose(self, path: str, _domain: object) -> None:
        raise AssertionError(path)  # only space may vary


def _check_geometry(reader: Reader) -> None:
    """Add geometry problems, even if there are mistakes outside the model."""
    root = reader.whole.get("space")
    if root is None and "space.model" in reader.whole:
        root = Group({"model": reader.whole["space.model"]})
    for reason in Space(root).check() if root else ():
        default = "" if reader.stands(reason.path) else " The file does not set it; this is its default."
        reader.problems.append(Problem(reader.place(reason.path), reason.path, reason.message + default))


def _unsatisfied(space: Space, listed: Node) -> Iterator[Problem]:
    for reason in space.contradictions():
        number = reason.path.rpartition(".")[2]
        node = listed.value[int(number)] if number.isdecimal() else listed
        yield Problem(Place.of(node), reason.path, reason.message)


def _assemble(file: SweepFile, space: Space, text: str) -> SweepSpec:
    part = "val" if isinstance(file.evaluation, Holdout) else "test"
    metric: Any = file.objective.metric or f"{part}/accuracy"
    return SweepSpec(
        name=file.name,
        space=space,
        evaluation=file.evaluation,
        metric=metric,
        goal=file.objective.goal or ("maximize" if metric.endswith("accuracy") else "minimize"),
        search=file.search,
        stopping=file.stopping,
        resources=file.resources,
        budget=file.budget,
        tracking=file.tracking,
        text=text,
    )


def _as_run(root: MappingNode, overrides: Sequence[str]) -> str:
    head = "".join(f"# --set {' '.join(assignment.split())}\n" for assignment in overrides)
    return head + dumped(value_of(root))
