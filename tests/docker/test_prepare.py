"""The files and output of docker/prepare.sh, with a stand-in for Docker; `make docker-test` checks it with compose."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docker.engine import ROOT

IDS = (10001, 10001) if os.getuid() == 0 else (os.getuid(), os.getgid())
ENGINE = """#!/bin/sh
case "$*" in
    "image inspect --format {{.Id}} ours:1") echo sha256:0 ;;
    compose*) echo "${CONVNN_SWEEPS-}${SECRETS-}${*#*compose.yaml }" ;;
    image*) echo "No such image" >&2; exit 1 ;;
esac
"""
Prepare = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder in which `make up` is called."""
    folder = tmp_path / "a $place of # ours"
    folder.mkdir()
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment, with the stand-in as `docker`."""
    engine = tmp_path / "bin" / "docker"
    engine.parent.mkdir()
    engine.write_text(ENGINE)
    engine.chmod(0o755)
    return {"PATH": f"{engine.parent}:{os.environ['PATH']}", "HOME": str(tmp_path / "home"), "CDPATH": "/:."}


@pytest.fixture
def prepare(environment: dict[str, str], place: Path) -> Prepare:
    """Return a function that calls the script with the variables of `make up`."""

    def call(image: str = "ours:1", **variables: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["sh", ROOT / "docker" / "prepare.sh", "secrets", image],
            capture_output=True,
            text=True,
            check=False,
            cwd=place,
            env=environment | variables,
        )

    return call


def settings(done: "subprocess.CompletedProcess[str]") -> dict[str, str]:
    """Return the printed settings; every value must be in single quotes."""
    assert (done.returncode, done.stderr) == (0, "")
    found = {}
    for line in done.stdout.splitlines()[1:]:
        name, _, value = line.partition("=")
        assert value[0] == value[-1] == "'"
        found[name] = value[1:-1]
    return found


def test_secrets_are_created_once_and_only_containers_can_read_them(prepare: Prepare, place: Path) -> None:
    said = settings(prepare(WORKERS="3"))
    assert said == {
        "IMAGE": "ours:1",
        "CONVNN_IMAGE_DIGEST": "sha256:0",
        "CONVNN_UID": str(IDS[0]),
        "CONVNN_GID": str(IDS[1]),
        "SECRETS": str(place / "secrets"),
        "WORKERS": "3",
    }
    secrets = {path: path.read_text() for path in (place / "secrets").iterdir()}
    assert {path.name for path in secrets} == {"ray_token", "postgres_password", "pgpass"}
    for path in secrets:
        found = path.stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (*IDS, 0o600)
    assert settings(prepare()).keys() == said.keys() - {"WORKERS"}
    assert {path: path.read_text() for path in (place / "secrets").iterdir()} == secrets


@pytest.mark.parametrize("given", ["mine", "./mine", "mine/and more", "{place}/mine", "../mine", "~/mine"])
def test_a_folder_exists_with_an_absolute_path_and_the_containers_owner(
    prepare: Prepare, place: Path, given: str
) -> None:
    said = settings(prepare(CONVNN_SWEEPS=given.format(place=place)))
    folder = Path(said["CONVNN_SWEEPS"])
    home = str(place.parent / "home")
    assert folder == Path(os.path.normpath(place / given.format(place=place).replace("~", home)))
    found = folder.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (*IDS, 0o755)


def test_a_folder_with_files_is_unchanged(prepare: Prepare, place: Path) -> None:
    (place / "data").mkdir()
    (place / "data" / "file").touch()
    before = (place / "data").stat()
    done = prepare(CONVNN_DATA="data")
    assert f"CONVNN_DATA='{place}/data'" in done.stdout
    assert ("chown -R 10001:10001" in done.stderr) is (os.getuid() == 0)
    after = (place / "data").stat()
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("a:b", "cannot mount a folder with a colon in its path: a:b"),
        ("it's", "must not have a quote or a backslash"),
        ("file/in", "file"),
    ],
)
def test_a_path_that_cannot_be_mounted_is_refused(prepare: Prepare, place: Path, given: str, said: str) -> None:
    (place / "file").touch()
    done = prepare(CONVNN_SWEEPS=given)
    assert done.returncode == 1
    assert said in done.stderr
    assert {path.name for path in place.iterdir()} == {"file", "secrets"}


def test_a_missing_image_is_refused(prepare: Prepare) -> None:
    done = prepare(image="another:2")
    assert (done.returncode, done.stdout) == (1, "")
    assert "No such image" in done.stderr


def test_compose_gets_paths_only_from_the_settings(environment: dict[str, str], place: Path) -> None:
    given = {"IMAGE": "ours:1", "SETTINGS": place.parent / "settings", "SECRETS": os.path.relpath(place / "s", ROOT)}
    given |= {"CONVNN_SWEEPS": os.path.relpath(place / "mine", ROOT)}
    arguments = [f"{name}={value}".replace("$", "$$") for name, value in given.items()]
    command = ["make", "--silent", "up", "down", "NAME=ours", "REVISION=0", *arguments]
    said = subprocess.check_output(command, text=True, cwd=ROOT, env=environment).splitlines()
    assert said == ["up --detach --wait --remove-orphans", "ps", "rm --stop --force --volumes", "down"]
    written = (place.parent / "settings").read_text()
    assert f"SECRETS='{place}/s'" in written
    assert f"CONVNN_SWEEPS='{place}/mine'" in written
