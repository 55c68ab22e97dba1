"""`convnn init` writes a first sweep file."""

import itertools
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from search_spaces import load_sweep
from tests.tune_jobs.cli.invoking import invoke
from tune_jobs.cli.init import Images, Model, Vary


@pytest.mark.parametrize(("model", "data", "vary"), list(itertools.product(Model, Images, Vary)))
def test_every_answer_gives_a_valid_file(tmp_path: Path, model: Model, data: Images, vary: Vary) -> None:
    file = tmp_path / "my sweep.yaml"
    words = ("--model", model.value, "--data", data.value, "--vary", vary.value, "--gpu", "0.25")
    said = invoke("init", file, *words, storage=tmp_path)
    assert f"convnn run {file} --smoke" in said
    spec = load_sweep(str(file))
    assert (spec.name, spec.resources.gpus_per_trial) == ("my-sweep", 0.25)
    assert len(spec.space.domains()) > 1
    assert "#" in file.read_text()


def test_the_schema_that_a_file_names_is_written_beside_it_once(tmp_path: Path) -> None:
    schema, words = tmp_path / "convnn.schema.json", ("--data", "digits", "--vary", "mix", "--gpu", "0")
    invoke("init", tmp_path / "mine.yaml", "--model", "vgg", *words, storage=tmp_path)
    assert f"# yaml-language-server: $schema={schema.name}\n" in (tmp_path / "mine.yaml").read_text()
    assert json.loads(schema.read_text())["title"] == "ConvNN sweep"
    schema.write_text("{}")
    invoke("init", tmp_path / "other.yaml", "--model", "vit", *words, storage=tmp_path)
    assert schema.read_text() == "{}"


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("kept")
    said = invoke(
        "init", file, "--model", "vgg", "--data", "digits", "--vary", "mix", "--gpu", "0", storage=tmp_path, expect=2
    )
    assert "already exists" in said
    assert file.read_text() == "kept"


def test_without_a_terminal_the_missing_options_are_named(tmp_path: Path) -> None:
    said = invoke("init", tmp_path / "mine.yaml", "--model", "vgg", storage=tmp_path, expect=2)
    assert "--data (digits, cifar10, cifar100)" in said
    assert "--gpu (0 to 1)" in said
    assert not (tmp_path / "mine.yaml").exists()


def test_on_a_terminal_four_questions_are_asked(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    command = [str(Path(sys.executable).parent / "convnn"), "init", "mine.yaml"]
    os.write(leader, b"7\n2\n\ncandidates\n0\n")
    asking = subprocess.run(
        command, stdin=follower, capture_output=True, cwd=tmp_path, text=True, timeout=60, check=False
    )
    said = asking.stdout + asking.stderr
    os.close(leader)
    os.close(follower)
    assert asking.returncode == 0, said
    spec = load_sweep(str(tmp_path / "mine.yaml"))
    assert "ViT-Tiny" in said
    assert {leaf.path.split(".")[1] for leaf in spec.space.domains()} == {"model", "training"}
    assert spec.space.data_sets()[0].name == "digits"
