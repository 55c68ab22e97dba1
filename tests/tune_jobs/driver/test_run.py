"""Real sweeps on a real Ray cluster with a few digits; each run is a separate process, as users start it."""

import contextlib
import re
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tests.tune_jobs.listeners import is_of_this_machine, listeners, programs
from tests.tune_jobs.program import convnn, start
from tests.tune_jobs.servers import free_port
from tests.tune_jobs.shipping import recorded
from tune_jobs.record.ledger import Ledger

SWEEP: dict[str, Any] = {
    "name": "tiny",
    "space": {
        "data": {"name": "digits", "limit": 120},
        "model": {
            "width": 0.0625,
            "classifier_width": 16,
            "layer": {
                "kind": "hybrid",
                "lambda": {"choice": [0, 0.5]},
                "k": 3,
                "candidates": {"kind": "random", "r": 16, "when_too_few": "all"},
            },
        },
        "training": {"lr": 1e-3, "epochs": 3, "batch_size": 16},
    },
    "evaluation": {"protocol": "holdout", "fraction": 0.2},
}
TIMES = ("epoch_s", "images_per_s")
LOOKS_S = 0.5
LISTENED: set[tuple[str, str]] = set()
"""The addresses on which the processes of the finished sweep listened while it ran."""

RAN: set[str] = set()
"""The command lines of these processes."""

SIZE = ("params", "gflops", "gflops_published")


def write(path: Path, **changes: Any) -> Path:
    """Write a sweep file: SWEEP with changes such as `training__lr=...`."""
    content = yaml.safe_load(yaml.safe_dump(SWEEP))
    for name, value in changes.items():
        *parents, last = name.split("__")
        place = content["space"] if parents else content
        for parent in parents:
            place = place[parent]
        place[last] = value
    path.write_text(yaml.safe_dump(content))
    return path


def numbers(trial: dict[str, Any]) -> list[dict[str, float]]:
    """Return the numbers that must repeat bit for bit."""
    return [
        {name: v for name, v in e.items() if name not in (*TIMES, *SIZE, "at", "time")} for e in trial["epoch_metrics"]
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("my sweeps")


@pytest.fixture(scope="module")
def earlier(place: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return the trials of another sweep of the same name, which existed before."""
    with recorded(tmp_path_factory.mktemp("earlier"), "tiny") as sweep:
        sweep.attempt([1, 2], "complete")
        write(sweep.folder.spec, model__layer__lambda=0.5, training__epochs=1)
    shutil.copytree(sweep.folder.path, place / "tiny")
    trials: list[dict[str, Any]] = invoke_json("show", "tiny", storage=place)["trials"]
    return trials


@pytest.fixture(scope="module")
def finished(place: Path, earlier: list[dict[str, Any]]) -> Path:
    """Return the folder of a sweep of four trials, two of which diverge. Its path has a space in it.

    It starts over (`--fresh`), and traces of a crashed Ray cluster on this machine do not disturb it.
    """
    (place / "my python").symlink_to(sys.prefix)
    file = write(
        place / "tiny.yaml",
        training__optimizer="sgd",
        training__clip_norm=None,
        training__weight_decay=10.0,
        training__lr={"choice": [0.01, 10.0]},
    )
    assert len(earlier) == 1
    python = str(place / "my python" / "bin" / "python")
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="r") as short:  # Ray's sockets are there
        (Path(short) / "ray").mkdir()
        (Path(short) / "ray" / "ray_current_cluster").write_text("192.0.2.9:6379")
        process = start("run", file, "--fresh", "--yes", storage=place, python=python, RAY_TMPDIR=short)
        while process.poll() is None:
            LISTENED.update(listeners("CONVNN_STORAGE", str(place)))
            RAN.update(programs("CONVNN_STORAGE", str(place)))
            time.sleep(LOOKS_S)
        out = process.communicate()[0]
    assert process.returncode == 0, out
    assert re.search(r"\d\d:\d\d:\d\d trial 1 started: lambda 0", out)
    assert re.search(
        r"trial 2 diverged \(the (loss|gradients' norm) became (nan|inf) at epoch \d, step \d; try a smaller learning",
        out,
    )
    assert "Every configuration of the space has been tried." in out
    return place / "tiny"


@pytest.mark.usefixtures("finished")
def test_no_other_machine_can_reach_the_processes_of_a_run() -> None:
    assert {program for _, program in LISTENED if "raylet" in program or "gcs_server" in program}
    assert [found for found in LISTENED if not is_of_this_machine(found[0])] == []


@pytest.mark.usefixtures("finished")
def test_ray_starts_only_the_services_that_a_sweep_needs() -> None:
    assert [program for program in RAN if "raylet" in program]
    assert [program for program in RAN if "monitor" in program or "Monitor" in program] == []


def test_the_leaderboard_puts_the_best_complete_trial_first_and_diverged_ones_last(finished: Path, place: Path) -> None:
    shown = invoke_json("show", "tiny", storage=place)
    assert [trial["state"] for trial in shown["trials"]] == ["complete", "complete", "diverged", "diverged"]
    values = [trial["value"] for trial in shown["trials"][:2]]
    assert values == sorted(values, reverse=True)
    (best,) = invoke_json("best", "tiny", storage=place)["trials"]
    assert best["run_key"] == shown["trials"][0]["run_key"]
    listed = next(sweep for sweep in invoke_json("list", storage=place)["sweeps"] if sweep["name"] == "tiny")
    assert (listed["state"], listed["ended"], listed["best"]) == ("done", 4, best["value"])
    assert finished.exists()


def test_mlflow_has_every_number_of_the_ledger(finished: Path) -> None:
    client = MlflowClient(f"sqlite:///{finished.parent / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tiny")
    runs = {run.data.tags["run_key"]: run for run in client.search_runs([experiment.experiment_id])}
    parent = runs.pop("sweep")
    assert len(runs) == 4
    with contextlib.closing(Ledger(finished / "ledger.db")) as ledger:
        for trial in ledger.trials():
            run = runs[trial.run_key]
            assert run.info.status == ("FINISHED" if trial.state == "complete" else "FAILED")
            assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
            assert (run.data.tags["host"], run.data.tags["device"]) == (socket.gethostname(), "cpu")
            epochs = ledger.epochs(trial.run_key)
            for name in {name for epoch in epochs for name in epoch.metrics}:
                shipped = [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)]
                assert sorted(shipped) == [(e.epoch, e.metrics[name]) for e in epochs if name in e.metrics]
    assert {file.path for file in client.list_artifacts(parent.info.run_id)} == {
        "leaderboard.json",
        "manifest.json",
        "report.html",
        "sweep.yaml",
    }
    assert parent.info.status == "FINISHED"


def test_the_best_configuration_trained_alone_gives_the_sweeps_numbers_bit_for_bit(finished: Path, place: Path) -> None:
    shown = invoke_json("show", finished.name, storage=place)
    for trial in [t for t in shown["trials"] if t["state"] == "complete"]:
        file = place / "one.yaml"
        file.write_text(invoke("show", "tiny", trial["trial"], "--yaml", storage=place))
        alone = invoke_json("train", file, storage=place)
        recorded = invoke_json("show", "tiny", trial["trial"], storage=place)
        assert [{n: v for n, v in e.items() if n not in TIMES} for e in alone["epochs"]] == numbers(recorded)


def test_every_trial_with_an_epoch_is_replayed_bit_for_bit(finished: Path, place: Path) -> None:
    trials = invoke_json("show", finished.name, storage=place)["trials"]
    replayed = [invoke_json("replay", "tiny", trial["trial"], storage=place) for trial in trials if trial["epoch"] > 0]
    assert len(replayed) >= 2
    assert {(each["verdict"], each["expected_equal"]) for each in replayed} == {("equal", True)}


def test_the_same_command_again_trains_nothing_and_reports_the_same(finished: Path, place: Path) -> None:
    before = invoke_json("show", "tiny", storage=place)
    convnn("run", place / "tiny.yaml", storage=place)
    assert invoke_json("show", "tiny", storage=place) == before
    client = MlflowClient(f"sqlite:///{finished.parent / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tiny")
    assert len(client.search_runs([experiment.experiment_id])) == 5


def test_a_changed_file_under_the_same_name_is_refused(finished: Path, place: Path) -> None:
    said = invoke("run", place / "tiny.yaml", "--set", "space.training.epochs=9", storage=place, expect=2)
    assert f"{finished} already holds a sweep 'tiny' with other settings; results would mix:" in said
    assert "\n  space.training.epochs: 3 -> 9\n" in said
    assert "convnn run FILE --set name=tiny-2), or start over (convnn run FILE --fresh)" in said


def test_a_sweep_whose_file_is_missing_is_not_mixed_with_another(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "tiny")
    (tmp_path / "tiny" / "sweep.yaml").unlink()
    file = write(tmp_path / "tiny.yaml", training__epochs=1)  # another sweep of that name
    said = invoke("run", file, storage=tmp_path, expect=2)
    assert "sweep.yaml is missing" in said
    assert "--fresh" in said


def test_budget_and_resources_of_a_sweep_may_change(finished: Path, place: Path) -> None:
    for changes in (("budget.wall_hours=5", "resources.max_concurrent=1"), ("stopping={max_failed_fraction: 1}",)):
        invoke("run", place / "tiny.yaml", *(word for each in changes for word in ("--set", each)), storage=place)
    shown = invoke_json("show", finished.name, storage=place)
    assert shown["budget"] == {}  # as the last run had none
    assert {len(invoke_json("show", "tiny", t["trial"], storage=place)["attempts"]) for t in shown["trials"]} == {1}


def test_starting_over_asks_and_keeps_the_old_sweep(finished: Path, place: Path, earlier: list[dict[str, Any]]) -> None:
    (aside,) = place.glob("tiny-until-*")
    assert invoke_json("show", aside.name, storage=place)["trials"] == earlier
    trials = invoke_json("show", "tiny", storage=place)["trials"]
    assert not {trial["run_key"] for trial in earlier} & {trial["run_key"] for trial in trials}
    said = invoke("run", place / "tiny.yaml", "--fresh", storage=place, expect=2)
    assert f"{finished} holds a sweep tiny; move it aside and start over? No terminal is available to ask" in said
    assert invoke_json("show", "tiny", storage=place)["trials"] == trials
    assert list(place.glob("tiny-until-*")) == [aside]


def test_a_copied_folder_is_the_whole_sweep(finished: Path, place: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "elsewhere" / "tiny")
    here = invoke_json("show", "tiny", storage=place)["trials"]
    assert invoke_json("show", "tiny", storage=tmp_path / "elsewhere")["trials"] == here


def test_the_logs_and_the_manifest_are_in_the_folder(finished: Path, place: Path) -> None:
    trials = invoke_json("show", "tiny", storage=place)["trials"]
    for trial in trials:
        log = (finished / "trials" / trial["run_key"] / "1" / "log.txt").read_text()
        assert ("epoch 3/3" if trial["state"] == "complete" else "diverged: the ") in log
    (manifest, *_) = yaml.safe_load((finished / "manifest.json").read_text())["starts"]
    assert manifest["packages"]["ray"]
    assert set(manifest["data_digests"]) == {"digits.train"}
    kept = [path.relative_to(finished / "trials") for path in finished.rglob("*.pt")]
    assert kept == [Path(trials[0]["run_key"], "1", "checkpoint-000003.pt")]  # the best trial's last


def test_missing_images_are_reported_before_anything_starts(tmp_path: Path) -> None:
    file = write(tmp_path / "c.yaml", data__name="cifar10", data__root=str(tmp_path))
    (tmp_path / "test-00000-of-00001.parquet").write_bytes(b"PAR1")
    said = invoke("run", file, storage=tmp_path, expect=1)
    assert "train-00000-of-00001.parquet is missing" in said


def test_too_many_cpus_are_reported_immediately(tmp_path: Path) -> None:
    file = write(tmp_path / "d.yaml", resources={"cpus_per_trial": 1000})
    said = convnn("run", file, storage=tmp_path, expect=4)
    assert re.search(
        r"a trial requests 1000 CPU, but the largest machine of Ray has \d+; lower resources.cpus_per_trial", said
    )


def test_an_unreachable_cluster_is_reported(tmp_path: Path) -> None:
    file = write(tmp_path / "e.yaml")
    said = convnn("run", file, "--address", f"127.0.0.1:{free_port()}", storage=tmp_path, expect=4)
    assert "the Ray cluster at 127.0.0.1" in said
    assert "RAY_ADDRESS) is right." in said


def test_a_sweep_folder_alone_restores_its_runs_elsewhere(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "tiny-until-today")
    invoke("sync", "tiny-until-today", storage=tmp_path)
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert {found.name for found in client.search_experiments()} == {"Default", "tiny-until-today"}
    runs = client.search_runs([client.get_experiment_by_name("tiny-until-today").experiment_id])
    assert len(runs) == 5
    assert {run.info.status for run in runs} == {"FINISHED", "FAILED"}
