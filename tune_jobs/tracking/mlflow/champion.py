"""A sweep's champion in MLflow: its trained model, logged to its run and registered under the alias `champion`.

The model is a LoggedModel that holds only data: the weights of the published model, and how to build it. Load it with
`mlflow.pyfunc.load_model("models:/SWEEP@champion")` wherever `convnn` is installed.

The registered model has the name of the sweep; if that is taken, the start of the sweep's id is added. It is found by
its tag `sweep_id`, so a renamed sweep keeps its model, and a copy gets a separate one. The same weights are always one
version: an existing version is found by the digest of its weights.
"""

import hashlib
import json
import platform
import re
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from search_spaces import config_key
from tune_jobs.errors import SweepError
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import CHAMPION, Champion, Trial
from tune_jobs.results.columns import params as params_of
from tune_jobs.results.history import effective
from tune_jobs.results.words import champion_said
from tune_jobs.system.packages import DISTRIBUTION
from tune_jobs.tracking.base import Destination
from tune_jobs.tracking.mlflow.inventory import PARENT, Inventory
from tune_jobs.tracking.mlflow.retry import SyncHealth
from tune_jobs.tracking.mlflow.runs import DIGEST
from tune_jobs.tracking.place import tracked_as

SHIPPED = 1
"""The ledger records the champion in MLflow as if it were this attempt number of the sweep's own run."""

WEIGHTS_TAG = "weights_sha256"

_UNNAMEABLE = re.compile(r"[^\w .-]")
"""Characters that a folder name may have, but not a registered model's name or a quoted filter."""

_NO_REGISTRY = ("ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED", "FEATURE_DISABLED", "PERMISSION_DENIED")

_HOW = """
Load it where `convnn` is installed. The input is uint8 images of shape `(N, 32, 32, 3)`, the output class indices:

```python
import mlflow
model = mlflow.pyfunc.load_model("models:/{name}@champion")
classes = model.predict(images)
```
"""


def has_no_registry(error: Exception) -> bool:
    """Whether a tracker has no model registry, or denies access to it."""
    from mlflow.exceptions import MlflowException

    return isinstance(error, MlflowException) and error.error_code in _NO_REGISTRY


def registered(ledger: Ledger) -> str | None:
    """Return the address of the champion's model in MLflow; `None` if it is not registered."""
    champion = ledger.meta.champion
    if champion is None:
        return None
    _, number, noted = ledger.tracked().get((PARENT, SHIPPED), ("", 0, ""))
    digest, _, name = noted.partition(" ")
    return f"models:/{name}@{CHAMPION} (version {number})" if digest == _digest(champion) else None


class Champions:
    """Registers the champion of one sweep, whose runs must be in MLflow already."""

    def __init__(
        self,
        client: Any,  # noqa: ANN401 - MLflow has no types
        runs: Inventory,
        ledger: Ledger,
        destination: Destination,
        health: SyncHealth,
    ) -> None:
        self._client = client
        self._runs = runs
        self._ledger = ledger
        self._destination = destination
        self._health = health
        self._sweep_id = tracked_as(ledger)

    def ship(self, champion: Champion, trial: Trial) -> str | None:
        """Bring MLflow up to date with the champion; return the reason if there is nothing to register."""
        folder, run = self._destination.folder, self._runs.latest().get(champion.run_key)
        noted = self._runs.noted(PARENT, SHIPPED)
        if noted is not None and noted[2].partition(" ")[0] == _digest(champion):
            return None
        if run is None or run in self._runs.deleted:
            return f"the champion's run (trial {trial.number}) is not in MLflow, so its model is not registered"
        kept = folder.checkpoints(champion.run_key)
        if not kept:
            return (
                f"the weights of the champion (trial {trial.number}) were not kept (resources.keep_best is 0, or they "
                f"were removed), so its model is not registered"
            )
        with tempfile.TemporaryDirectory(prefix="convnn-champion-") as scratch:
            from tune_jobs.loading import save_trained

            try:
                weights = save_trained(Path(scratch, "model"), kept[0], trial.config)
            except SweepError as error:
                return f"the champion's model is not registered: {error}"
            model = self._logged(champion, trial, run, weights, Path(scratch))
        name = self._name()
        number = self._version(name, champion, trial, model)
        self._tell_model(model, name, number)
        self._call("alias", self._client.set_registered_model_alias, name, CHAMPION, number)
        self._runs.note(PARENT, SHIPPED, run, int(number), f"{_digest(champion)} {name}")
        return None

    def _logged(self, champion: Champion, trial: Trial, run: str, weights: str, files: Path) -> Any:  # noqa: ANN401
        """Return the LoggedModel with these weights; create and upload it if it is missing."""
        from mlflow.entities import LoggedModelOutput, LoggedModelStatus

        model = self._known_model(run, weights)
        if model is None:
            model = self._call(
                "model",
                self._client.create_logged_model,
                self._runs.experiment_id,
                f"trial-{trial.number}",
                run,
                {**self._tags(champion, trial), WEIGHTS_TAG: weights},
                params_of(trial.config, self._destination.columns),
                "classifier",
            )
        if model.status != LoggedModelStatus.READY:
            _write_mlmodel(files, model, run)
            with self._health.patient():
                self._call("model's files", self._client.log_model_artifacts, model.model_id, str(files))
            model = self._call("model ready", self._client.finalize_logged_model, model.model_id, "READY")
        outputs = self._call("model's run", self._client.get_run, run).outputs
        if model.model_id not in {each.model_id for each in (outputs.model_outputs if outputs else ())}:
            output = LoggedModelOutput(model.model_id, trial.config.training.epochs)
            self._call("output", self._client.log_outputs, run, [output])
        self._log_metrics(trial, run, model.model_id)
        return model

    def _log_metrics(self, trial: Trial, run: str, model_id: str) -> None:
        """Log the run's final metrics for the model, too. Logging them again changes nothing."""
        from mlflow.entities import Metric

        last = effective(self._ledger.epochs(trial.run_key))[-1]
        data = trial.config.data.name
        metrics = []
        for name, value in last.metrics.items():
            split, _, of = name.partition("/")
            digest = self._ledger.meta.digest(f"{data}.{split}") if of else None
            images = (None, None) if digest is None else (f"{data}.{split}", digest[:DIGEST])
            metrics.append(Metric(name, value, int(last.at * 1000), last.epoch, model_id, *images, run))
        self._call("model's metrics", self._client.log_batch, run, metrics=metrics)

    def _known_model(self, run: str, weights: str) -> Any:  # noqa: ANN401
        from mlflow.entities import LoggedModelStatus

        found = self._call(
            "models",
            self._client.search_logged_models,
            [self._runs.experiment_id],
            f"source_run_id = '{run}' AND tags.{WEIGHTS_TAG} = '{weights}'",
        )
        return min(
            found, key=lambda model: (model.status != LoggedModelStatus.READY, model.creation_timestamp), default=None
        )

    def _name(self) -> str:
        """Return the registered model's name; register the model if it is missing."""
        found = self._call("registered", self._client.search_registered_models, f"tags.sweep_id = '{self._sweep_id}'")
        if found:
            return min(str(model.name) for model in found)
        own = _UNNAMEABLE.sub("-", self._destination.folder.name)
        names = {model.name for model in self._call("names", self._client.search_registered_models, f"name = '{own}'")}
        name = f"{own}-{self._sweep_id[:8]}" if own in names else own
        tags = {"sweep": self._destination.folder.name, "sweep_id": self._sweep_id}
        about = (
            f"Models that confirmations of the sweep `{own}` support. The alias `{CHAMPION}` is on the version "
            f"that the latest finished confirmation chose; see `convnn confirm {own}`."
        )
        self._call("register", self._client.create_registered_model, name, tags, about)
        return name

    def _version(self, name: str, champion: Champion, trial: Trial, model: Any) -> str:  # noqa: ANN401
        """Return the version with a model's weights; create it if it is missing. Its description is updated."""
        run, weights = model.source_run_id, model.tags[WEIGHTS_TAG]
        tags = {**self._tags(champion, trial), WEIGHTS_TAG: weights}
        about = _about(name, champion, trial)
        there = self._call("versions", self._client.search_model_versions, f"name = '{name}'")
        known = [each for each in there if each.tags.get(WEIGHTS_TAG) == weights]
        if not known:
            make, source = self._client.create_model_version, model.artifact_location
            made = self._call("version", make, name, source, run, tags, description=about, model_id=model.model_id)
            return str(made.version)
        number = str(min(int(each.version) for each in known))
        self._call("about", self._client.update_model_version, name, number, about)
        for tag, value in tags.items():
            self._call(f"tag {tag}", self._client.set_model_version_tag, name, number, tag, value)
        return number

    def _tell_model(self, model: Any, name: str, number: str) -> None:  # noqa: ANN401
        """Show the version on the model's page, with MLflow's own tag for it."""
        from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

        told = json.dumps([{"name": name, "version": number}])
        if model.tags.get(MLFLOW_MODEL_VERSIONS) != told:
            self._call("model told", self._client.set_logged_model_tags, model.model_id, {MLFLOW_MODEL_VERSIONS: told})

    def _tags(self, champion: Champion, trial: Trial) -> dict[str, str]:
        numbers = {f"confirm.{name}": repr(value) for name, value in champion.numbers.items()}
        of = {} if champion.trial is None else {"trial": str(champion.trial)}
        return {
            **self._destination.tags,
            "sweep": self._destination.folder.name,
            "sweep_id": self._sweep_id,
            "run_key": champion.run_key,
            "config_key": config_key(trial.config),
            "seed": str(trial.config.training.seed),
            "better_than_baseline": str(champion.better).lower(),
            "test_set_opened": champion.opened,
            **of,
            **numbers,
        }

    def _call(self, step: str, function: Callable[..., Any], *given: object, **named: object) -> Any:  # noqa: ANN401
        return self._health.call((CHAMPION, step), function, *given, **named)


def _digest(champion: Champion) -> str:
    return hashlib.sha256(repr(champion).encode()).hexdigest()


def _about(name: str, champion: Champion, trial: Trial) -> str:
    found, seed = champion_said(champion), trial.config.training.seed
    return (
        f"{found[0].upper()}{found[1:]}. {champion.why}\n\nThe weights come from its run with the first seed, {seed} "
        f"(trial {trial.number}); that seed was not chosen by its result.\n{_HOW.format(name=name)}"
    )


def _write_mlmodel(files: Path, model: Any, run: str) -> None:  # noqa: ANN401
    """Write MLflow's description of a model: how to load it, its inputs and outputs, and the run that made it."""
    import numpy as np
    from mlflow.models import Model
    from mlflow.models.signature import ModelSignature
    from mlflow.types import Schema, TensorSpec

    from convnn.geometry import IMAGE_SIDE

    pixels = TensorSpec(np.dtype(np.uint8), (-1, IMAGE_SIDE, IMAGE_SIDE, 3))
    signature = ModelSignature(Schema([pixels]), Schema([TensorSpec(np.dtype(np.int64), (-1,))]))
    about = Model(model.artifact_location, run, signature=signature, model_id=model.model_id)
    how = {"loader_module": "convnn.saved", "data": "model", "python_version": platform.python_version()}
    about.add_flavor("python_function", **how)
    about.save(str(files / "MLmodel"))
    packages = (DISTRIBUTION, "torch", "numpy")
    (files / "requirements.txt").write_text("".join(f"{name}=={version(name)}\n" for name in packages))
