"""The documentation site builds without a warning, contains every name, and loads nothing from other servers."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

import convnn
import search_spaces
import tune_jobs
from search_spaces import json_schema, parse_sweep
from tune_jobs.cli.app import app
from tune_jobs.cli.shared.outputs import OUTPUTS
from tune_jobs.errors import ExitCode

ROOT = Path(__file__).parents[1]
LOADING = {
    "script": "src",
    "link": "href",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "object": "data",
}


class _Page(HTMLParser):
    """The resources that a page loads, its element ids, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: set[str] = set()
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids.add(given.get("id") or "")
        self.loads.append(given.get(LOADING.get(tag, "")) or "")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as in `make docs` in a temporary folder, by a process that does not import torch."""
    place = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BUILD, "build", "--strict", "--site-dir", place],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return place


BUILD = """
import sys
from mkdocs.__main__ import cli
try:
    cli(sys.argv[1:])
finally:
    assert not {"torch", "ray", "mlflow", "optuna"} & set(sys.modules)
"""


def page(site: Path, name: str) -> _Page:
    return _Page((site / name).read_text(encoding="utf-8"))


def test_nothing_is_loaded_from_other_servers(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    loads = {load for path in pages for load in _Page(path.read_text(encoding="utf-8")).loads}
    assert any(load.endswith(".css") for load in loads)
    assert not [load for load in loads if re.match(r"(https?:)?//", load)]
    styles = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert styles
    assert not [
        load for style in styles for load in re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^)]*", style)
    ]


def test_the_search_needs_no_server(site: Path) -> None:
    text = (site / "search" / "search_index.js").read_text(encoding="utf-8")
    found = json.loads(text.removeprefix("var __index = "))["docs"]
    assert {"tutorial/first-sweep.html", "how-to/slurm.html", "reference/commands.html"} <= {
        entry["location"] for entry in found
    }
    assert "assets/iframe-worker.js" in page(site, "index.html").loads


def test_every_command_and_option_is_in_the_reference(site: Path) -> None:
    found = page(site, "reference/commands.html")
    said = "".join(found.text)
    commands: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
    for name, command in commands.items():
        assert f"convnn-{name}" in found.ids
        assert [option for part in command.params for option in part.opts if "-" in option and option not in said] == []


def test_every_field_of_a_sweep_file_is_in_the_reference(site: Path) -> None:
    found = page(site, "reference/sweep-files.html")
    schema = json_schema()
    definitions = [each for each in (schema, *schema["$defs"].values()) if "properties" in each]
    codes = set(re.findall(r"\w+", " ".join(found.text)))
    names = " ".join(name for each in definitions for name in each["properties"])
    assert {*re.findall(r"\w+", names)} <= codes
    kinds = {"stopping-auto", "search-tpe", "layer-hybrid", "attention-kvt", "model-vit-tiny", "candidates-strided"}
    assert kinds <= found.ids


def test_the_examples_of_domains_are_valid(site: Path) -> None:
    examples = [text for text in page(site, "reference/sweep-files.html").text if re.match(r"\w+: \{", text)]
    assert len(examples) == 7
    for example in examples:
        candidates: dict[str, Any] = {"kind": "random", "r": 16}
        layer = {"kind": "convnn", "candidates": candidates}
        model, training = {"name": "vgg11", "layer": layer}, {"epochs": 1}
        ((field, value),) = yaml.safe_load(example).items()
        owner = {"lr": training, "r": candidates, "k": layer}.get(field, model)
        owner[field] = value
        space = {"model": model, "training": training}
        parse_sweep(yaml.safe_dump({"name": "x", "space": space, "search": {"sampler": "random", "trials": 2}}))


@pytest.mark.parametrize("package", [convnn, search_spaces, tune_jobs])
def test_every_exported_name_is_in_the_reference(site: Path, package: Any) -> None:
    name = package.__name__
    assert {f"{name}.{each}" for each in package.__all__} <= page(site, f"reference/{name}.html").ids


def test_every_json_output_and_exit_code_is_in_the_reference(site: Path) -> None:
    assert {f"convnn-{command}" for command in OUTPUTS} <= page(site, "reference/json.html").ids
    said = page(site, "reference/exit-codes.html").text
    assert {str(code.value) for code in ExitCode} | {code.meaning for code in ExitCode} <= set(said)


def test_links_of_the_readme_and_pages_that_messages_name_exist() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\]\((?!https?:)([^)#]+)", readme))
    texts = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "Makefile", *(ROOT / "docker").glob("*.*")]
    texts += [path for package in ("convnn", "search_spaces", "tune_jobs") for path in (ROOT / package).rglob("*.py")]
    for path in texts:
        named.update(re.findall(r"\bdocs/[\w/-]+\.md", path.read_text(encoding="utf-8")))
    assert {"docs/how-to/containers.md", "docs/explanation/stopping.md"} <= named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
