"""What a run with nothing to train leaves unchanged, and what it still updates. The trials are scripted."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from search_spaces import SweepSpec, parse_sweep
from tests.tune_jobs.stores import new_store
from tune_jobs.driver.exclusion import exclude
from tune_jobs.driver.run import Outcome, run
from tune_jobs.executors.inline import open_inline
from tune_jobs.executors.registry import add_executor
from tune_jobs.record.folder import SweepFolder
from tune_jobs.tracking.address import default_store
from tune_jobs.worker.reports import EpochDone, Report
from tune_jobs.worker.task import Task

SPEC = parse_sweep("""
name: scripted
space:
  data: {name: digits}
  model: {width: 0.125, layer: {kind: hybrid, lambda: {choice: [0.25, 0.75]}, k: 4}}
  training: {epochs: 2}
resources: {min_free_gb: 0}
""")


def two_epochs(_: Task) -> Iterator[Report]:
    size = {"params": 1.0, "gflops": 1.0, "gflops_published": 1.0}
    yield from (EpochDone(epoch, {"val/accuracy": epoch / 10, **size}) for epoch in (1, 2))


add_executor("handover", open_inline(two_epochs))


def resumed(storage: Path, spec: SweepSpec = SPEC) -> Outcome:
    outcome = run(spec, progress=False, storage=storage, executor="handover")
    assert outcome.tracked.error is None
    return outcome


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    """A sweep that has ended."""
    found = SweepFolder(tmp_path / "scripted")
    new_store(default_store(found))
    resumed(tmp_path)
    return found


def runs(folder: SweepFolder) -> list[Any]:
    client = MlflowClient(f"sqlite:///{default_store(folder)}")
    return list(client.search_runs([client.get_experiment_by_name("scripted").experiment_id]))


def files(folder: SweepFolder) -> dict[str, bytes]:
    """Return all files except the ledger, as SQLite may rewrite that."""
    found = (path for path in folder.path.rglob("*") if path.is_file() and not path.name.startswith("ledger"))
    return {str(path): path.read_bytes() for path in found}


def test_with_nothing_to_train_every_file_stays_unchanged(folder: SweepFolder) -> None:
    before, times = files(folder), folder.report.stat().st_mtime_ns
    for _ in range(2):
        outcome = resumed(folder.path.parent)
        assert outcome.tracked.page is not None
        assert outcome.summary.best is not None
    assert files(folder) == before
    assert folder.report.stat().st_mtime_ns == times


def test_with_nothing_to_train_no_slow_package_is_loaded(folder: SweepFolder) -> None:
    heavy = {"mlflow", "ray", "torch", "plotly"}
    program = (
        "import sys; from tune_jobs import resume; "
        f"resume('scripted', False, storage={str(folder.path.parent)!r}); print(*{heavy} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_writes_of_other_sweeps_to_the_same_store_do_not_trigger_a_sync(
    folder: SweepFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    client = MlflowClient(f"sqlite:///{default_store(folder)}")
    client.create_run(client.create_experiment("other"))
    before = files(folder)
    run(SPEC, storage=folder.path.parent, executor="handover")
    assert files(folder) == before
    assert "MLflow" not in capsys.readouterr().err


def test_a_store_that_was_removed_is_filled_again(folder: SweepFolder) -> None:
    default_store(folder).unlink()
    resumed(folder.path.parent)
    assert len(runs(folder)) == 3


def test_a_run_deleted_in_the_store_is_noticed(folder: SweepFolder) -> None:
    (parent,) = [found for found in runs(folder) if found.data.tags["run_key"] == "sweep"]
    MlflowClient(f"sqlite:///{default_store(folder)}").delete_run(parent.info.run_id)
    outcome = run(SPEC, progress=False, storage=folder.path.parent, executor="handover")
    assert f"the sweep's own run {parent.info.run_id} is deleted in MLflow" in (outcome.tracked.error or "")


def test_a_report_that_was_removed_is_drawn_again(folder: SweepFolder) -> None:
    folder.report.unlink()
    resumed(folder.path.parent)
    assert folder.report.exists()


def test_user_requests_made_in_the_meantime_reach_report_and_tracker(folder: SweepFolder) -> None:
    exclude(folder, "1", "wrong images")
    resumed(folder.path.parent)
    assert [found.data.tags["excluded"] for found in runs(folder) if "excluded" in found.data.tags] == ["wrong images"]
    assert "wrong images" in folder.report.read_text()


def test_another_tracker_gets_everything(folder: SweepFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", new_store(tmp_path / "other" / "mlflow.db"))
    resumed(folder.path.parent)
    client = MlflowClient(f"sqlite:///{tmp_path / 'other' / 'mlflow.db'}")
    assert len(client.search_runs([client.get_experiment_by_name("scripted").experiment_id])) == 3


def test_a_changed_budget_reaches_the_tracker(folder: SweepFolder) -> None:
    text = SPEC.text + "budget: {trials: 9}\n"
    resumed(folder.path.parent, replace(parse_sweep(text), text=text))
    client = MlflowClient(f"sqlite:///{default_store(folder)}")
    (parent,) = [found for found in runs(folder) if found.data.tags["run_key"] == "sweep"]
    path = client.download_artifacts(parent.info.run_id, "sweep.yaml", str(folder.path))
    assert "trials: 9" in Path(path).read_text()
