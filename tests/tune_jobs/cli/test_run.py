from pathlib import Path

from tests.tune_jobs.cli.invoking import invoke
from tests.tune_jobs.shipping import Recorded


def test_a_sweep_is_started_over_only_where_somebody_agrees(sweep: Recorded, tmp_path: Path) -> None:
    file = tmp_path / "tracked.yaml"
    file.write_text(sweep.folder.spec.read_text())
    said = invoke("run", file, "--fresh", storage=sweep.folder.path.parent, expect=2)
    assert f"{sweep.folder.path} holds a sweep tracked; move it aside and start over? There is no terminal" in said
    assert [path.name for path in sweep.folder.path.parent.iterdir()] == ["tracked"]


def test_a_dashboard_takes_jobs_and_is_not_driven_from_here(tmp_path: Path) -> None:
    said = invoke("run", "quickstart", "--address", "http://head:8265", storage=tmp_path, expect=2)
    assert "convnn submit ... --address http://head:8265" in said
