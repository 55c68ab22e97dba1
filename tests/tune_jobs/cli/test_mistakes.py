"""Typical mistakes of a first week, each with its exact answer: `mistakes/*.md`.

A block of a page is a command and everything that it prints, as copied from a terminal. The answers are written and
changed manually, after reading. Mistakes inside a sweep file are in `tests/search_spaces/broken`.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.tune_jobs.cli.mistakes.situation import situation
from tune_jobs.cli.app import app

PAGES = Path(__file__).parent / "mistakes"
HOME, STORAGE = "/home/me", "/home/me/convnn-sweeps"
_BLOCK = re.compile(r"^```console\n\$ (.*?)\n(.*?)^\[exit code (\d+)\]\n```$", re.MULTILINE | re.DOTALL)
_PID = re.compile(r"process \d+ on [\w.-]+")

CASES = [(page.stem, *block) for page in sorted(PAGES.glob("*.md")) for block in _BLOCK.findall(page.read_text())]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """A researcher's folder, and the folder of sweeps."""
    home, storage = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("sweeps")
    with situation(home, storage):
        yield home, storage


@pytest.mark.usefixtures("expect_offline")
@pytest.mark.parametrize("case", CASES, ids=[f"{case[0]}: {case[1]}" for case in CASES])
def test_a_mistake_gets_this_answer(
    place: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, case: tuple[str, str, str, str]
) -> None:
    (home, storage), (_, command, said, code) = place, case
    monkeypatch.chdir(home)
    environment, words = _parted(command)
    before = _listed(home, storage)
    known = {"CONVNN_STORAGE": str(storage), "HOME": str(home), "COLUMNS": "200", **environment}
    done = CliRunner().invoke(app, words, env=known, catch_exceptions=False)  # so that a traceback fails the test
    told = done.output.replace(str(storage), STORAGE).replace(str(home), HOME)
    assert (_PID.sub("process 4711 on host", told), done.exit_code) == (said, int(code))
    assert _listed(home, storage) == before  # a mistake leaves nothing behind


def test_at_least_100_different_mistakes_are_tested() -> None:
    commands = [command for _, command, _, _ in CASES]
    assert len(commands) == len(set(commands))
    assert len(commands) >= 100
    assert len(CASES) == sum(page.read_text().count("```console") for page in PAGES.glob("*.md"))


def _listed(*folders: Path) -> list[str]:
    return sorted(path.name for folder in folders for path in folder.iterdir())


def _parted(command: str) -> tuple[dict[str, str], list[str]]:
    """Return the variables before a command, and its words without `convnn`."""
    words, environment = shlex.split(command), {}
    while words[0] != "convnn":
        name, _, environment[name] = words.pop(0).partition("=")
    return environment, words[1:]
