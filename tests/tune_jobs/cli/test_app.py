from pathlib import Path

import pytest

from tests.tune_jobs.program import convnn


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
