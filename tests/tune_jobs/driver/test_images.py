"""A sweep resumes with the images that it started with, or says why it cannot check them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from convnn.data import load_dataset
from search_spaces import Decided, SweepSpec, parse_sweep
from tests.convnn.data.shards import pixels, write_shard
from tests.tune_jobs.driver.by_hand import SPEC
from tune_jobs.driver.images import open_images
from tune_jobs.errors import UsageError
from tune_jobs.record.ledger import Ledger

PAPER = "evaluation: {protocol: paper}\n"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """The ledger of a sweep without trials."""
    made = Ledger(tmp_path / "ledger.db", create=True)
    yield made
    made.close()


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """CIFAR-10 with thirty images."""
    monkeypatch.setenv("CONVNN_CACHE", str(tmp_path / "cache"))
    place = tmp_path / "images"
    place.mkdir()
    for split, count in (("train", 20), ("test", 10)):
        write_shard(place / f"{split}.parquet", pixels(count, 1), [i % 10 for i in range(count)])
    return place


def sweep(images: Path, evaluation: str = "") -> SweepSpec:
    space = f"{{data: {{name: cifar10, root: {images}}}, model: {{layer: {{kind: conv2d}}}}}}"
    return parse_sweep(f"name: small\nspace: {space}\n{evaluation}")


def opened(spec: SweepSpec, ledger: Ledger) -> tuple[dict[str, str], list[str]]:
    said: list[str] = []
    return open_images(spec, ledger, said.append), said


def begin(spec: SweepSpec, ledger: Ledger) -> None:
    ledger.add_trial({}, spec.space.resolve(Decided(next(spec.space.points()))), "a")


def test_each_split_that_trials_open_is_recorded(images: Path, ledger: Ledger) -> None:
    whole = load_dataset("cifar10", str(images))
    expected = {f"cifar10.{split}": digest for split, digest in whole.digests.items()}
    assert opened(sweep(images, PAPER), ledger) == (expected, [])
    assert {name: ledger.meta.digest(name) for name in expected} == expected


def test_a_sweep_that_holds_out_needs_no_test_images(images: Path, ledger: Ledger) -> None:
    (images / "test.parquet").unlink()
    found, said = opened(sweep(images), ledger)
    assert (list(found), said) == (["cifar10.train"], [])
    begin(sweep(images), ledger)
    assert opened(sweep(images), ledger) == (found, [])


def test_images_other_than_those_the_sweep_started_with_are_refused(images: Path, ledger: Ledger) -> None:
    spec = sweep(images)
    found, _ = opened(spec, ledger)
    begin(spec, ledger)
    write_shard(images / "train.parquet", pixels(20, 2), [i % 10 for i in range(20)])
    with pytest.raises(UsageError, match=rf"cifar10 \(train\) in .* was {found['cifar10.train'][:12]}"):
        opened(spec, ledger)
    assert ledger.meta.digest("cifar10.train") == found["cifar10.train"]


def test_the_joint_digest_of_version_0_1_0_is_compared_if_both_splits_exist(images: Path, ledger: Ledger) -> None:
    spec, joint = sweep(images), load_dataset("cifar10", str(images)).joint_digest()
    begin(spec, ledger)
    ledger.meta.set_digest("cifar10", joint)
    found, said = opened(spec, ledger)
    assert (list(found), said) == (["cifar10.train"], [])
    assert ledger.meta.digest("cifar10") == joint


def test_images_that_do_not_match_the_joint_digest_are_refused(images: Path, ledger: Ledger) -> None:
    begin(sweep(images), ledger)
    ledger.meta.set_digest("cifar10", "0" * 64)
    with pytest.raises(UsageError, match="was 000000000000"):
        opened(sweep(images), ledger)
    assert ledger.meta.digest("cifar10.train") is None


def test_the_sweep_resumes_with_a_note_if_only_one_split_exists(images: Path, ledger: Ledger) -> None:
    begin(sweep(images), ledger)
    ledger.meta.set_digest("cifar10", load_dataset("cifar10", str(images)).joint_digest())
    (images / "test.parquet").unlink()
    found, said = opened(sweep(images), ledger)
    assert list(found) == ["cifar10.train"]
    assert len(said) == 1
    assert "cannot be compared with those that the sweep started with" in said[0]
    assert "test-00000-of-00001.parquet is missing" in said[0]
    assert opened(sweep(images), ledger) == (found, [])  # from now on the digest of the split is recorded


def test_images_of_a_run_that_started_no_trial_are_not_binding(ledger: Ledger) -> None:
    ledger.meta.set_digest("digits.train", "of other images")
    found, _ = opened(SPEC, ledger)
    assert found["digits.train"] == ledger.meta.digest("digits.train") != "of other images"
