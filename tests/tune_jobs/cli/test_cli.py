import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.tune_jobs.program import CONVNN, convnn, convnn_json


def test_validate_says_what_would_be_searched(tmp_path: Path) -> None:
    said = convnn("validate", "quickstart", storage=tmp_path)
    assert said.startswith("quickstart: valid. 9 trials of a continuous space by tpe, stopping: asha\n")
    assert "  model.layer.lambda: one of 0.125, 0.25, 0.5\n" in said
    assert "  training.lr: 0.0005 to 0.003, logarithmic\n" in said


def test_validate_tells_programs_every_mistake_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("name: bad\nspace:\n  model: {layer: {kind: conv2d}}\n  trainig: {lr: -1}\n")
    said = convnn("validate", tmp_path / "bad.yaml", "--json", storage=tmp_path, expect=2)
    answer = json.loads(said)
    assert answer["valid"] is False
    (problem,) = answer["problems"]
    assert (problem["line"], problem["column"], problem["path"]) == (4, 3, "space.trainig")
    assert "did you mean 'training'?" in problem["message"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["show", "quickstar"], 2, "there is no sweep 'quickstar' in"),
        (["run", "quickstar"], 2, "quickstar is neither a file nor a preset; did you mean 'quickstart'?"),
        (["run", "missing.yaml"], 2, "there is no file missing.yaml"),
        (["run", "quickstart", "--set", "space.training.epoch=3"], 2, "did you mean 'epochs'?"),
        (["run", "quickstart", "--set", "epochs"], 2, "must have the form path=value"),
        (["presets", "show", "nonsense"], 2, "there is no preset 'nonsense'; valid are"),
        (["train", "quickstart"], 2, "--set space.training.lr=..."),
        (["train", "quickstart", "--device", "tpu"], 2, "--device must be cpu or cuda, got 'tpu'"),
        (["best"], 2, "Missing argument 'SWEEP'"),
    ],
)
def test_mistakes_are_answered_without_a_traceback(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    values = {"model.layer.lambda": 0.5, "model.layer.k": 4, "training.lr": 1e-3}
    fixed = [word for path, value in values.items() for word in ("--set", f"space.{path}={value}")]
    out = convnn(*arguments, *(fixed if "--device" in arguments else []), storage=tmp_path, expect=code)
    assert said in " ".join(out.replace("│", " ").split())
    assert "Traceback" not in out


def test_an_empty_storage_says_how_to_begin(tmp_path: Path) -> None:
    said = convnn("list", storage=tmp_path / "nothing here")
    assert "`convnn run quickstart` makes one" in said
    assert convnn_json("list", storage=tmp_path / "nothing here")["sweeps"] == []


def test_a_damaged_sweep_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "ledger.db").write_bytes(b"no database" * 1000)
    (listed,) = convnn_json("list", storage=tmp_path)["sweeps"]
    assert listed["name"] == "broken"
    assert "cannot be used" in listed["error"]
    assert "unreadable" in convnn("list", storage=tmp_path)


def test_a_preset_printed_is_a_file_that_runs_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(convnn("presets", "show", "quickstart", storage=tmp_path))
    assert convnn_json("validate", file, storage=tmp_path) == convnn_json("validate", "quickstart", storage=tmp_path)


def test_the_schema_is_json(tmp_path: Path) -> None:
    assert json.loads(convnn("schema", storage=tmp_path))["title"] == "ConvNN sweep"


ONE = {
    "name": "one",
    "space": {
        "data": {"name": "digits", "limit": 60},
        "model": {"width": 0.0625, "classifier_width": 16, "layer": {"kind": "convnn", "k": 3}},
        "training": {"epochs": 20, "batch_size": 32, "lr": 1e-3},
    },
    "evaluation": {"protocol": "paper"},
}


@pytest.fixture
def one(tmp_path: Path) -> Path:
    file = tmp_path / "one.yaml"
    file.write_text(yaml.safe_dump(ONE))
    return file


def epochs(out: str) -> list[dict[str, float]]:
    return [
        {name: v for name, v in epoch.items() if name not in ("epoch_s", "images_per_s")}
        for epoch in json.loads(out)["epochs"]
    ]


def test_training_stopped_and_gone_on_with_gives_the_same_numbers(one: Path, tmp_path: Path) -> None:
    whole = epochs(convnn("train", one, "--json", storage=tmp_path))
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
    assert f"the same command goes on from {state}" in said
    rest = epochs(convnn("train", one, "--checkpoint", state, "--json", storage=tmp_path))
    assert rest == whole[-len(rest) :]
    assert 0 < len(rest) < 20


def test_a_checkpoint_that_cannot_be_used_is_refused_and_kept(one: Path, tmp_path: Path) -> None:
    state = tmp_path / "state.pt"
    convnn("train", one, "--checkpoint", state, storage=tmp_path)
    whole = state.read_bytes()
    for change, reason in ((whole[:1000], "is damaged or no checkpoint"), (whole, "of another configuration")):
        state.write_bytes(change)
        said = convnn(
            "train", one, "--checkpoint", state, "--set", "space.training.lr=2e-3", storage=tmp_path, expect=1
        )
        assert f"{state} is" in said
        assert reason in said
        assert state.read_bytes() == change
