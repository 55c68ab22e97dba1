"""An installed plugin with kinds of all groups passes; each error of a broken plugin is reported."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from convnn.plugins import GROUPS
from search_spaces import json_schema
from tests.installing import install, installed, write_plugin
from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tests.tune_jobs.cli.shared.test_outputs import require_as_said

ROOT = Path(__file__).parents[3]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return install(tmp_path / "site")


@pytest.fixture
def plugin(site: Path) -> Iterator[Path]:
    with installed(site):
        yield site


@pytest.mark.usefixtures("plugin")
def test_a_plugin_with_a_kind_of_each_group_passes() -> None:
    found = invoke_json("check-plugin", "my-kinds", storage=Path())
    require_as_said("check-plugin", found)
    assert found["ok"], [each for kind in found["kinds"] for each in kind["properties"] if not each["ok"]]
    assert {kind["group"] for kind in found["kinds"]} == set(GROUPS)
    assert {kind["name"] for kind in found["kinds"]} == {
        "pixel_mlp", "grouped", "averaging", "stripes", "shuffled", "behind_best"
    }  # fmt: skip
    assert {(kind["package"], kind["version"], kind["config_version"]) for kind in found["kinds"]} == {
        ("my-kinds", "1.0", 1)
    }
    assert {"PixelMLP", "Grouped", "Averaging", "Shuffled", "BehindBest"} <= set(json_schema()["$defs"])


@pytest.mark.usefixtures("plugin")
def test_a_single_kind_is_checked_with_one_line_per_property() -> None:
    lines = invoke("check-plugin", "stripes", storage=Path()).splitlines()
    assert lines[0] == "convnn.datasets stripes (my-kinds 1.0)"
    assert all(line.startswith("  ok    ") for line in lines[1:])
    assert "  ok    its splits have the declared number of images: 256 train, 64 test" in lines


def test_validating_a_file_with_kinds_of_a_plugin_loads_no_torch(site: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\nspace: {model: {layer: {kind: grouped, groups: {choice: [1, 2]}}}}\n")
    code = (
        "import sys, os; os._exit = sys.exit\nfrom tune_jobs.cli import main\ntry: main()\n"
        "finally: print([name for name in ('torch', 'ray', 'optuna') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(site), os.environ["PYTHONPATH"]])}
    command = [sys.executable, "-c", code, "validate", str(file)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("mine: valid. ")
    assert done.stdout.splitlines()[-1] == "[]"


BROKEN = """
from typing import ClassVar, Literal
from search_spaces.models import VGGLayer
from search_spaces.settings import Stopping

class Unversioned(VGGLayer):
    kind: Literal["unversioned"]

class Called(VGGLayer):
    config_version: ClassVar[int] = 1
    kind: Literal["called"]

class Again(Stopping):
    config_version: ClassVar[int] = 1
    kind: Literal["asha"]
"""
ENTRIES = {
    "convnn.layers": "unversioned = broken_kinds:Unversioned\nother = broken_kinds:Called\n"
    "none = broken_kinds:Nothing\nnumber = broken_kinds:Stopping\n",
    "convnn.stopping_rules": "asha = broken_kinds:Again\n",
    "convnn.datasets": "facts = broken_kinds:Called\n",
}
LINES = {
    "unversioned": "TypeError: it must declare config_version, a whole number from 1, such as config_version = 1",
    "other": "ValueError: its kind is 'called'; give the entry point that name",
    "none": "AttributeError: module 'broken_kinds' has no attribute 'Nothing'",
    "number": "TypeError: it must name a subclass of VGGLayer or ViTAttention, got <class 'search_spaces.settings.Stop",
    "asha": "ValueError: kind 'asha' is already used by Asha; choose another name.",
    "facts": "TypeError: it must name a convnn.data.facts.DatasetFacts, got <class 'broken_kinds.Called'>",
}


def test_each_entry_point_that_cannot_be_registered_has_a_line(tmp_path: Path) -> None:
    with installed(write_plugin(tmp_path, "broken-kinds", {"broken_kinds.py": BROKEN}, ENTRIES)):
        found = json.loads(invoke("check-plugin", "broken-kinds", "--json", storage=Path(), expect=1, errors=False))
        said = {kind["name"]: kind["properties"] for kind in found["kinds"]}
        assert set(said) == set(LINES)
        for name, (only,) in said.items():
            assert (only["property"], only["ok"]) == ("it can be registered", False)
            assert LINES[name] in only["says"]
        lines = invoke("check-plugin", "other", storage=Path(), expect=1).splitlines()
        assert lines == [
            "convnn.layers other (broken-kinds 1.0)",
            f"  FAIL  it can be registered: broken_kinds:Called: {LINES['other']}",
        ]
