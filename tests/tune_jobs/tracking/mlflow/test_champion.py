"""Champions in a real MLflow store; runs are recorded without training, and weights are random."""

import json
import shutil
from dataclasses import replace
from typing import Any

import pytest
import torch
from mlflow import MlflowClient

from convnn.saved import digest_of, load_classifier
from search_spaces import TrialConfig
from tests.tune_jobs.kept import checkpointed_of
from tests.tune_jobs.shipping import Recorded
from tests.tune_jobs.stores import new_store
from tune_jobs.driver.removal import remove, start_over
from tune_jobs.driver.sync import sync_recorded
from tune_jobs.loading import trained_weights
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.rows import CONFIRM, Champion
from tune_jobs.tracking.address import store_of

FILE = "name: tracked\nspace: {data: {name: digits}, model: {name: vgg11, layer: {kind: conv2d}}}\n"
FOUND = Champion("a", 1, "2026-11-30T08:00:00Z", "test/accuracy", True, "Trial 1 is better.", {"runs": 4, "mean": 0.5})


def config(seed: int) -> TrialConfig:
    layer = {"kind": "convnn", "k": 4}
    model = {"name": "vgg11", "width": 0.0625, "classifier_width": 16, "layer": layer}
    return TrialConfig.model_validate({"data": {"name": "digits"}, "model": model, "training": {"seed": seed}})


def confirmed(sweep: Recorded) -> None:
    """Record two runs of a confirmation with checkpoints; the first is the champion's."""
    sweep.folder.spec.write_text(FILE)
    for seed, key in enumerate("ab"):
        sweep.ledger.add_unasked(config(seed), key, repeat_of=None, role=CONFIRM)
        checkpointed_of(sweep, key, config(seed))
    sweep.ledger.meta.champion = FOUND


@pytest.fixture
def sweep(sweep: Recorded) -> Recorded:
    """A sweep with a separate store in its storage folder."""
    confirmed(sweep)
    new_store(sweep.folder.path.parent / "mlflow.db")
    return sweep


def champion(client: MlflowClient, name: str = "tracked") -> Any:
    return client.get_model_version_by_alias(name, "champion")


def client_of(sweep: Recorded) -> MlflowClient:
    return MlflowClient(f"sqlite:///{sweep.folder.path.parent / 'mlflow.db'}")


def numbers(client: MlflowClient, name: str = "tracked") -> list[int]:
    return sorted(int(version.version) for version in client.search_model_versions(f"name = '{name}'"))


def test_the_champions_run_has_a_model_with_the_exported_weights(sweep: Recorded) -> None:
    assert sync_recorded(sweep.folder).model == "models:/tracked@champion (version 1)"
    client = client_of(sweep)
    version = champion(client)
    (model,) = client.search_logged_models([sweep.ledger.meta.tracker_experiment_id or ""])
    assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": "tracked", "version": "1"}]
    assert version.source == model.artifact_location
    run = client.get_run(version.run_id)
    assert run.data.tags["run_key"] == "a"
    assert (run.data.tags["role"], model.source_run_id) == ("confirm", version.run_id)
    assert [output.model_id for output in run.outputs.model_outputs] == [model.model_id]
    assert {metric.key: metric.value for metric in model.metrics} == {"val/accuracy": 0.13, "train/loss": 1.0}
    assert model.params["k"] == "4"
    assert (version.tags["better_than_baseline"], version.tags["confirm.mean"]) == ("true", "0.5")
    assert "Trial 1 is better." in version.description
    files = store_of(model.artifact_location)
    assert files is not None
    assert {path.name for path in files.rglob("*") if path.is_file()} == {
        "MLmodel",
        "model.json",
        "requirements.txt",
        "weights.pt",
    }
    expected = trained_weights(sweep.folder.checkpoints("a")[0], config(0))
    assert digest_of(load_classifier(files / "model").model.state_dict()) == digest_of(expected)
    torch.load(files / "model" / "weights.pt", weights_only=True)


def test_the_same_weights_are_one_version_and_the_alias_follows_the_record(sweep: Recorded) -> None:
    sync_recorded(sweep.folder)
    sync_recorded(sweep.folder)
    client = client_of(sweep)
    assert (numbers(client), int(champion(client).version)) == ([1], 1)
    sweep.ledger.meta.champion = replace(FOUND, run_key="b", trial=2, why="Trial 2 is.")
    assert sync_recorded(sweep.folder).model == "models:/tracked@champion (version 2)"
    assert (numbers(client), int(champion(client).version)) == ([1, 2], 2)
    sweep.ledger.meta.champion = replace(FOUND, better=False, why="Nothing is better.")
    sync_recorded(sweep.folder)
    assert (numbers(client), int(champion(client).version)) == ([1, 2], 1)
    assert champion(client).tags["better_than_baseline"] == "false"
    assert "Nothing is better." in champion(client).description


def test_an_interrupted_sync_is_continued_without_duplicates(sweep: Recorded) -> None:
    client = client_of(sweep)
    sync_recorded(sweep.folder)
    (before,) = client.search_logged_models([sweep.ledger.meta.tracker_experiment_id or ""])
    sweep.ledger.set_tracked("", 1, sweep.ledger.tracked()["", 1][0], 1, "nothing noted")
    client.delete_registered_model_alias("tracked", "champion")
    sync_recorded(sweep.folder)
    (after,) = client.search_logged_models([sweep.ledger.meta.tracker_experiment_id or ""])
    assert (numbers(client), int(champion(client).version)) == ([1], 1)
    assert after.model_id == before.model_id
    assert len(client.get_run(before.source_run_id).outputs.model_outputs) == 1


def test_the_registered_name_of_another_sweep_is_not_reused(sweep: Recorded) -> None:
    client = client_of(sweep)
    client.create_registered_model("tracked", {"owner": "somebody"})
    own = f"tracked-{sweep.ledger.meta.sweep_id[:8]}"
    assert sync_recorded(sweep.folder).model == f"models:/{own}@champion (version 1)"
    assert (numbers(client), numbers(client, own)) == ([], [1])
    assert client.get_registered_model("tracked").tags == {"owner": "somebody"}


def test_a_copy_has_a_separate_model_and_a_renamed_sweep_keeps_its_model(sweep: Recorded) -> None:
    sync_recorded(sweep.folder)
    client, beside = client_of(sweep), sweep.folder.path.parent
    shutil.copytree(sweep.folder.path, beside / "copied")
    sync_recorded(SweepFolder(beside / "copied"))
    assert (numbers(client), numbers(client, "copied")) == ([1], [1])
    sweep.ledger.close()
    renamed = SweepFolder(sweep.folder.path.rename(beside / "renamed"))
    assert sync_recorded(renamed).model == "models:/tracked@champion (version 1)"


def test_without_weights_or_a_registry_the_rest_is_synced_with_a_note(
    sweep: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("MLFLOW_REGISTRY_URI", "nowhere://registry")
        assert sync_recorded(sweep.folder, said.append).model is None
    assert "MLflow refuses the champion's model" in said[-1]
    assert "convnn export tracked champion FILE" in said[-1]
    kept = sweep.folder.checkpoints("a")
    for path in kept:
        path.unlink()
    assert sync_recorded(sweep.folder, said.append).model is None
    assert "the weights of the champion (trial 1) were not kept" in said[-1]
    assert len(sweep.ledger.tracked()) == 3


def test_without_a_finished_confirmation_nothing_is_registered(sweep: Recorded) -> None:
    sweep.ledger.meta.champion = None
    assert sync_recorded(sweep.folder).model is None
    assert client_of(sweep).search_registered_models() == []


def test_the_registered_model_is_removed_with_its_sweep(sweep: Recorded) -> None:
    sync_recorded(sweep.folder)
    client, storage = client_of(sweep), sweep.folder.path.parent
    files = storage / ".mlflow-artifacts" / "models"
    assert len(list(files.iterdir())) == 1
    aside, _ = start_over(sweep.folder)
    assert [model.name for model in client.search_registered_models()] == [aside.name]
    assert "Its registered model" in " ".join(remove(aside))
    assert client.search_registered_models() == []
    assert list(files.iterdir()) == []
