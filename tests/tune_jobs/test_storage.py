import json
from pathlib import Path

import pytest

from tune_jobs.storage import SweepFolder, manifest_tags, write_manifest

IMAGE = "registry.example/convnn-sweeps:63a86c4"
DIGEST = "sha256:52454f4b4c14ca37c9f7ee0acc35fd5e1e5c4c2a1c6c1d0fd0ab3ba0e1b6f6c3"


def test_a_start_in_a_container_names_its_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVNN_IMAGE", IMAGE)
    monkeypatch.setenv("CONVNN_IMAGE_DIGEST", DIGEST)
    folder = SweepFolder(tmp_path)
    start = write_manifest(folder, {})
    assert json.loads(folder.manifest.read_text())["starts"] == [start]
    assert {"image": IMAGE, "image_digest": DIGEST}.items() <= manifest_tags(start).items()


@pytest.mark.parametrize("digest", [None, ""])  # compose passes an empty one where none is known
def test_a_digest_that_is_not_known_is_no_tag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digest: str | None
) -> None:
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
