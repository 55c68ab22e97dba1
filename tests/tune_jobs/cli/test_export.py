import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tune_jobs.cli.invoking import invoke
from tests.tune_jobs.kept import SMALL, checkpointed
from tests.tune_jobs.report.drawn import made
from tests.tune_jobs.shipping import Recorded
from tune_jobs.record.folder import checkpoint_path


@pytest.fixture
def sweep(sweep: Recorded) -> Recorded:
    """A sweep with a small trial."""
    sweep.ledger.add_trial({}, SMALL, "a")
    return sweep


def test_the_printed_code_loads_the_weights_into_the_published_model(sweep: Recorded, tmp_path: Path) -> None:
    state, file = checkpointed(sweep), tmp_path / "a model.pt"
    said = invoke("export", "tracked", 1, file, storage=sweep.folder.path.parent)
    assert "the weights of trial 1 after epoch 3" in said
    names: dict[str, Any] = {}
    exec(re.sub("^  ", "", said.partition("\n\n")[2], flags=re.MULTILINE), names)  # noqa: S102 - as a user would
    images = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(names["model"].eval()(images), state.model.eval()(images), rtol=1e-4, atol=1e-5)
    assert state.fold is not None
    assert names["model"].classifier[0].in_features == 49 * state.model.get_parameter("classifier.0.weight").shape[1]


def test_no_file_is_overwritten_and_no_weights_are_made_up(sweep: Recorded, tmp_path: Path) -> None:
    storage, file = sweep.folder.path.parent, tmp_path / "model.pt"
    sweep.attempt([1], "complete")
    assert "trial 1 has no checkpoint" in invoke("export", "tracked", 1, file, storage=storage, expect=2)
    state = checkpointed(sweep)
    file.write_text("mine")
    assert "already exists and is not overwritten" in invoke("export", "tracked", 1, file, storage=storage, expect=2)
    assert file.read_text() == "mine"
    assert state.fold is not None
    state.fold.initial = "0" * 64
    state.save(checkpoint_path(sweep.folder.attempt("a", 2), 3))
    other = tmp_path / "other.pt"
    assert "cannot be drawn again" in invoke("export", "tracked", 1, other, storage=storage, expect=1)
    assert not other.exists()


def test_a_whole_sweep_is_exported_without_overwriting_a_file(sweep: Recorded, tmp_path: Path) -> None:
    storage = sweep.folder.path.parent
    sweep.attempt([1, 2, 3], "complete")
    for kind in ("csv", "parquet"):
        for options, rows in (((), "1 trial"), (("--epochs",), "3 epochs")):
            file = tmp_path / f"{kind} {len(options)}"
            said = invoke("export", "tracked", f"--{kind}", file, *options, storage=storage)
            assert said == f"{file} contains {rows} of tracked.\n"
            before = file.read_bytes()
            said = invoke("export", "tracked", f"--{kind}", file, *options, storage=storage, expect=2)
            assert "already exists and is not overwritten" in said
            assert file.read_bytes() == before


def test_the_printed_code_loads_the_study(tmp_path: Path) -> None:
    with made(tmp_path) as drawn:
        drawn.trial([0.5], "complete")
        said = invoke("export", "drawn", "--optuna", tmp_path / "it's a journal", storage=tmp_path)
    names: dict[str, Any] = {}
    exec(re.sub("^  ", "", said.partition("\n\n")[2], flags=re.MULTILINE), names)  # noqa: S102 - as a user would
    assert names["study"].best_value == 0.5
