import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tune_jobs.record import manifest
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.manifest import git_state, manifest_tags, write_manifest

IMAGE = "registry.example/convnn-sweeps:63a86c4"
DIGEST = "sha256:52454f4b4c14ca37c9f7ee0acc35fd5e1e5c4c2a1c6c1d0fd0ab3ba0e1b6f6c3"


def test_a_start_in_a_container_names_its_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVNN_IMAGE", IMAGE)
    monkeypatch.setenv("CONVNN_IMAGE_DIGEST", DIGEST)
    folder = SweepFolder(tmp_path)
    start = write_manifest(folder, {})
    assert json.loads(folder.manifest.read_text())["starts"] == [start]
    assert {"image": IMAGE, "image_digest": DIGEST}.items() <= manifest_tags(start).items()


@pytest.mark.parametrize("digest", [None, ""])  # Docker Compose passes an empty digest if none is known
def test_an_unknown_digest_is_not_a_tag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digest: str | None) -> None:
    monkeypatch.delenv("CONVNN_IMAGE", raising=False)
    monkeypatch.delenv("CONVNN_IMAGE_DIGEST", raising=False)
    if digest is not None:
        monkeypatch.setenv("CONVNN_IMAGE_DIGEST", digest)
    start = write_manifest(SweepFolder(tmp_path), {})
    assert start["image"] is None
    assert start["image_digest"] is None
    assert not {"image", "image_digest"} & manifest_tags(start).keys()


def test_a_start_from_before_images_were_recorded_has_tags(tmp_path: Path) -> None:
    start = write_manifest(SweepFolder(tmp_path), {"digits": "abc"})
    del start["image"], start["image_digest"]
    assert manifest_tags(start)["data_digest.digits"] == "abc"


def git(place: Path, *arguments: str, text: bytes | None = None) -> None:
    subprocess.run(["git", "-C", str(place), *arguments], input=text, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Create a repository with a commit, uncommitted text and binary changes, and settings that change git's output."""
    place = tmp_path / "repository"
    git(tmp_path, "init", "--quiet", str(place))
    settings = {"user.name": "me", "user.email": "me@here", "commit.gpgsign": "false", "core.autocrlf": "false"}
    settings |= {"color.ui": "always", "diff.external": "echo", "diff.upper.textconv": "tr a-z A-Z <"}
    for name, value in settings.items():
        git(place, "config", name, value)
    (place / ".gitattributes").write_text("*.txt diff=upper\n")
    contents = {"a.txt": b"one\ntwo\r\n", "weights.bin": bytes(range(256))}
    for name, content in contents.items():
        (place / name).write_bytes(content)
    git(place, "add", ".")
    git(place, "commit", "--quiet", "--message", "first")
    for name, content in contents.items():
        (place / name).write_bytes(content[::-1])
    return place


def test_the_uncommitted_changes_can_be_applied_to_a_clone(repository: Path, tmp_path: Path) -> None:
    found = git_state(repository)
    assert found is not None
    assert (found["dirty"], found["diff_truncated"]) == (True, False)
    copy = tmp_path / "copy"
    git(tmp_path, "-c", "core.autocrlf=false", "clone", "--quiet", str(repository), str(copy))
    git(copy, "checkout", "--quiet", found["sha"])
    git(copy, "apply", text=found["diff"].encode())
    for name in ("a.txt", "weights.bin"):
        assert (copy / name).read_bytes() == (repository / name).read_bytes()


def test_a_truncated_diff_is_marked(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "_DIFF_BYTES", 100)
    found = git_state(repository)
    assert found is not None
    assert (len(found["diff"]), found["diff_truncated"]) == (100, True)


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_values_that_git_does_not_return_in_time_are_unknown(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.which("git")
    (tmp_path / "slow").mkdir()
    program(tmp_path / "slow" / "git", f'case "$*" in *status*|*diff*) sleep 10;; esac; exec {real} "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path / 'slow'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(manifest, "_GIT_S", 1.0)
    found = git_state(repository)
    assert found is not None
    assert (found["dirty"], found["diff"]) == (None, None)
    assert len(found["sha"]) == 40


def test_no_program_from_a_repositorys_configuration_is_run(repository: Path, tmp_path: Path) -> None:
    """The repository may come from anywhere, and just be the user's current folder."""
    mark = tmp_path / "it was run"
    mine = program(tmp_path / "mine", f"touch '{mark}'; cat")
    for hook in ("post-index-change", "fsmonitor-watchman", "pre-commit", "post-checkout"):
        program(repository / ".git" / "hooks" / hook, f"touch '{mark}'")
    (repository / ".gitattributes").write_text("*.txt diff=upper filter=mine\n*.bin filter=other\n")
    settings = {
        "core.fsmonitor": mine,
        "core.pager": mine,
        "diff.external": mine,
        "diff.upper.textconv": mine,
        "diff.upper.command": mine,
        "filter.mine.clean": mine,
        "filter.mine.smudge": mine,
        "filter.mine.required": "true",
        "filter.other.process": mine,
        "interactive.diffFilter": mine,
    }
    for name, value in settings.items():
        git(repository, "config", name, str(value))
    found = git_state(repository)
    assert found is not None
    assert found["dirty"]
    assert b"weights.bin" in found["diff"].encode()
    assert not mark.exists()


def test_outside_of_a_repository_the_state_is_none(tmp_path: Path) -> None:
    assert git_state(tmp_path) is None
