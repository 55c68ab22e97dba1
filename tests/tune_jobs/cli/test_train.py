import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from convnn.checkpoint import load_checkpoint, save_checkpoint
from search_spaces import Decided, load_sweep
from search_spaces.canonical import key_as_written
from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tests.tune_jobs.program import CONVNN

ONE = {
    "name": "one",
    "space": {
        "data": {"name": "digits", "limit": 60},
        "model": {
            "width": 0.0625,
            "classifier_width": 16,
            "layer": {"kind": "convnn", "k": 3, "candidates": {"kind": "random", "r": 16, "when_too_few": "all"}},
        },
        "training": {"epochs": 20, "batch_size": 32, "lr": 1e-3},
    },
    "evaluation": {"protocol": "paper"},
}


@pytest.fixture
def one(tmp_path: Path) -> Path:
    file = tmp_path / "one.yaml"
    file.write_text(yaml.safe_dump(ONE))
    return file


def epochs(trained: Any) -> list[dict[str, float]]:
    return [
        {name: v for name, v in epoch.items() if name not in ("epoch_s", "images_per_s")} for epoch in trained["epochs"]
    ]


def test_training_that_is_stopped_and_resumed_gives_the_same_numbers(one: Path, tmp_path: Path) -> None:
    whole = epochs(invoke_json("train", one, storage=tmp_path))
    assert [epoch["epoch"] for epoch in whole] == list(range(1, 21))
    assert "test/accuracy" in whole[0]  # protocol paper
    assert "val/accuracy" not in whole[0]
    state = tmp_path / "my state" / "one.pt"
    process = subprocess.Popen(
        [CONVNN, "train", str(one), "--checkpoint", str(state), "--set", "resources.checkpoint_every_s=0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("epoch 1/20")
    assert process.stdout.readline().startswith("epoch 2/20")
    process.send_signal(2)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"rerun the same command to resume from {state}" in said
    rest = epochs(invoke_json("train", one, "--checkpoint", state, storage=tmp_path))
    assert rest == whole[-len(rest) :]
    assert 0 < len(rest) < 20


def test_an_unusable_checkpoint_is_refused_and_kept(one: Path, tmp_path: Path) -> None:
    state = tmp_path / "state.pt"
    invoke("train", one, "--checkpoint", state, storage=tmp_path)
    whole = state.read_bytes()
    for change, reason in ((whole[:1000], "is damaged or not a checkpoint"), (whole, "of another configuration")):
        state.write_bytes(change)
        said = invoke(
            "train", one, "--checkpoint", state, "--set", "space.training.lr=2e-3", storage=tmp_path, expect=1
        )
        assert f"{state} is" in said
        assert reason in said
        assert state.read_bytes() == change


def test_layers_by_depth_train_and_equal_layers_give_the_numbers_of_one_layer(tmp_path: Path) -> None:
    model = {name: value for name, value in ONE["space"]["model"].items() if name != "layer"}  # type: ignore[index]
    layer, conv = ONE["space"]["model"]["layer"], {"kind": "conv2d"}  # type: ignore[index]
    found = []
    for number, layers in enumerate(
        (
            {"layer": layer},
            {"layers": {"conv1-conv2": layer, "conv3-conv8": layer}},
            {"layers": {"conv1-conv4": layer, "conv5-conv8": conv}},
        )
    ):
        file = tmp_path / f"{number}.yaml"
        space = {**ONE["space"], "model": {**model, **layers}, "training": {"epochs": 2, "batch_size": 32}}  # type: ignore[dict-item]
        file.write_text(yaml.safe_dump({**ONE, "space": space}))
        found.append(epochs(invoke_json("train", file, "--checkpoint", tmp_path / f"{number}.pt", storage=tmp_path)))
    assert len(found[2]) == 2
    assert found[0] == found[1] != found[2]
    more = invoke_json("train", tmp_path / "2.yaml", "--checkpoint", tmp_path / "2.pt", storage=tmp_path)
    assert more["epochs"] == []


def test_training_resumes_from_a_checkpoint_with_the_key_of_an_earlier_version(tmp_path: Path) -> None:
    layer = {
        "kind": "convnn",
        "k": 3,
        "padding": 2,
        "candidates": {"kind": "lattice", "side": 2},
    }  # a ring changes nothing here
    model = {**ONE["space"]["model"], "layer": layer}  # type: ignore[index]
    space = {**ONE["space"], "model": model, "training": {"epochs": 1, "lr": 1e-3}}  # type: ignore[dict-item]
    file, state = tmp_path / "ring.yaml", tmp_path / "ring.pt"
    file.write_text(yaml.safe_dump({**ONE, "space": space}))
    invoke_json("train", file, "--checkpoint", state, storage=tmp_path)
    content = load_checkpoint(state)
    content["identity"] = key_as_written(load_sweep(str(file)).space.resolve(Decided({})))
    assert content["identity"] != load_checkpoint(state)["identity"]
    save_checkpoint(content, state)
    assert epochs(invoke_json("train", file, "--checkpoint", state, storage=tmp_path)) == []
    content["identity"] = f"{7:016x}-s0"
    save_checkpoint(content, state)
    said = invoke("train", file, "--checkpoint", state, storage=tmp_path, expect=1)
    assert "of another configuration" in said
