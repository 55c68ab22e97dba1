"""Every command, sweep file and program in the documents works. `documents.py` says how each is tested."""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from convnn_resnet.settings import ResNet

from search_spaces import load_sweep
from search_spaces.models import MODELS
from tests.system.documents import (
    COMMANDS,
    PREFIXES,
    PROGRAMS,
    ROOT,
    SHELL,
    Block,
    Elsewhere,
    blocks,
    commands,
    documents,
    how,
    script,
)

VENV = Path(sys.prefix)
SECONDS = 1200
OWN = ("CONVNN_STORAGE", "CONVNN_CACHE", "VIRTUAL_ENV", "OMP_NUM_THREADS", "MAKEFLAGS", "MAKELEVEL")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with this environment, next to an empty home."""
    place = tmp_path_factory.mktemp("reader")
    (place / "home").mkdir()
    copy = place / "convnn-sweeps"
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.check_output(listed, text=True).split("\0"):
        if name and (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    for name in ("requirements.lock", "pyproject.toml"):
        os.utime(copy / name, (0, 0))  # otherwise `make` would install this environment again
    (copy / ".venv").symlink_to(VENV)
    return copy


def run(command: list[str], checkout: Path, text: str | None = None) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in OWN}
    paths = [part for part in environment["PATH"].split(os.pathsep) if not part.startswith(str(VENV))]
    done = subprocess.run(
        command,
        input=text,
        cwd=checkout,
        env={**environment, "HOME": str(checkout.parent / "home"), "PATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}"


def ids(found: list[Block]) -> list[str]:
    return [str(block) for block in found]


WRITTEN = [block for document in documents() for block in blocks(document)]
TYPED = [block for block in WRITTEN if block.language in SHELL]
PACKAGED = [block for block in WRITTEN if block.language == "toml"]


def test_a_block_has_commands_a_sweep_file_or_a_program() -> None:
    assert [str(b) for b in WRITTEN if b.language not in (*SHELL, "yaml", "python", "toml", "slurm")] == []


def test_each_command_is_listed_with_its_test() -> None:
    unknown = [f"{block}: {command}" for block in TYPED for command in commands(block) if how(command) is None]
    assert not unknown, "add these to COMMANDS in tests/system/documents.py:\n" + "\n".join(unknown)


def test_no_listed_command_is_missing_in_the_documents() -> None:
    said = [command for block in TYPED for command in commands(block)]
    assert [command for command in COMMANDS if command not in said] == []
    assert [start for start in PREFIXES if not any(command.startswith(start) for command in said)] == []
    assert [document for document in PROGRAMS if not blocks(document, "python")] == []


def test_commands_tested_elsewhere_are_found_there() -> None:
    ways = [way for way in (*COMMANDS.values(), *PREFIXES.values(), *PROGRAMS.values()) if isinstance(way, Elsewhere)]
    missing = [f"{way.by}: {way.text!r} in {way.file}" for way in ways if way.text not in (ROOT / way.file).read_text()]
    assert missing == []


@pytest.mark.parametrize("document", documents())
def test_the_commands_of_a_document_work_in_order(checkout: Path, document: str) -> None:
    terminal = "\n".join(script(block) for block in blocks(document, *SHELL))
    run(["bash", "-eux", "-o", "pipefail"], checkout, terminal)


@pytest.mark.parametrize("document", [name for name in documents() if blocks(name, "python") and name not in PROGRAMS])
def test_the_programs_of_a_document_run_in_order(checkout: Path, document: str) -> None:
    program = "\n".join(block.text for block in blocks(document, "python"))
    run([str(VENV / "bin" / "python"), "-"], checkout, program)


@pytest.mark.parametrize("block", PACKAGED, ids=ids(PACKAGED))
def test_an_excerpt_of_a_package_file_is_valid(block: Block) -> None:
    assert tomllib.loads(block.text)


@pytest.fixture
def _example() -> Iterator[None]:
    """Make the model of examples/resnet known, as its installation would."""
    with MODELS.registered(ResNet):
        yield


@pytest.mark.usefixtures("_example")
@pytest.mark.parametrize("document", [name for name in documents() if blocks(name, "yaml")])
def test_sweep_files_are_valid(document: str, tmp_path: Path) -> None:
    """An excerpt of a sweep file is completed with the file before it."""
    whole: dict[str, object] = {}
    for block in blocks(document, "yaml"):
        whole |= yaml.safe_load(block.text)
        file = tmp_path / "sweep.yaml"
        file.write_text(block.text if "space" in yaml.safe_load(block.text) else yaml.safe_dump(whole))
        load_sweep(str(file))
