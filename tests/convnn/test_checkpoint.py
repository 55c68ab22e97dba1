from pathlib import Path

import pytest

from convnn.checkpoint import CheckpointError, load_checkpoint, save_checkpoint


def test_loading_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "owned",))

    save_checkpoint({"x": Evil()}, tmp_path / "state.pt")
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "state.pt")
    assert not (tmp_path / "owned").exists()


def test_a_failed_write_keeps_the_older_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    save_checkpoint({"epoch": 1}, path)
    with pytest.raises(Exception, match="pickle"):
        save_checkpoint({"epoch": lambda: None}, path)
    assert load_checkpoint(path) == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]
