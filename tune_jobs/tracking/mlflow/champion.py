"""A sweep's champion in MLflow: its trained model under its run, and in the model registry under the alias `champion`.

The model is a LoggedModel whose files are data: the weights of the published model, and what makes it. It is loaded as
`mlflow.pyfunc.load_model("models:/SWEEP@champion")` wherever `convnn` is installed.

The registered model has the name of the sweep, or where another has that, this with the beginning of the sweep's id; it
is found by its tag `sweep_id`, so that a sweep that is renamed stays in it, and a copy gets one of its own. The same
weights are one version, however often they are shipped: what was made is found by the digest of its weights.
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
"""The ledger notes of a sweep which champion MLflow has, as if of an attempt of this number at the sweep's own run."""

WEIGHTS_TAG = "weights_sha256"

_UNNAMEABLE = re.compile(r"[^\w .-]")
"""What a folder's name may have, and a registered model's or a filter in quotes may not."""

_NO_REGISTRY = ("ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED", "FEATURE_DISABLED", "PERMISSION_DENIED")

_HOW = """
Load it where `convnn` is installed; images are uint8 `(N, 32, 32, 3)`, answers the numbers of their classes:

```python
import mlflow
model = mlflow.pyfunc.load_model("models:/{name}@champion")
classes = model.predict(images)
```
"""


def has_no_registry(error: Exception) -> bool:
    """Whether a tracker has no place for models, or none for us."""
    from mlflow.exceptions import MlflowException

    return isinstance(error, MlflowException) and error.error_code in _NO_REGISTRY


def registered(ledger: Ledger) -> str | None:
    """The address of the champion's model in MLflow; `None` until it is there."""
    champion = ledger.meta.champion
    if champion is None:
        return None
    _, number, noted = ledger.tracked().get((PARENT, SHIPPED), ("", 0, ""))
    digest, _, name = noted.partition(" ")
    return f"models:/{name}@{CHAMPION} (version {number})" if digest == _digest(champion) else None


class Champions:
    """Ships the champion of one sweep; its runs are there."""

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
        """Bring MLflow up to the champion; why it cannot be, where there is nothing to ship."""
        folder, run = self._destination.folder, self._runs.latest().get(champion.run_key)
        noted = self._runs.noted(PARENT, SHIPPED)
        if noted is not None and noted[2].partition(" ")[0] == _digest(champion):
            return None
        if run is None or run in self._runs.deleted:
            return f"the champion's run (trial {trial.number}) is not in MLflow, so its model is not registered"
        kept = folder.checkpoints(champion.run_key)
        if not kept:
            return (
                f"the weights of the champion (trial {trial.number}) are not kept (resources.keep_best is 0, or they "
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
        """The LoggedModel with these weights, which is made and filled unless it is there."""
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
        """What the run came to at its end: numbers of the model now, too. Sent again, they are the same ones."""
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
        """The registered model's name; it is made unless it is there."""
        found = self._call("registered", self._client.search_registered_models, f"tags.sweep_id = '{self._sweep_id}'")
        if found:
            return min(str(model.name) for model in found)
        own = _UNNAMEABLE.sub("-", self._destination.folder.name)
        names = {model.name for model in self._call("names", self._client.search_registered_models, f"name = '{own}'")}
        name = f"{own}-{self._sweep_id[:8]}" if own in names else own
        tags = {"sweep": self._destination.folder.name, "sweep_id": self._sweep_id}
        about = (
            f"What the confirmations of the sweep `{own}` support. The alias `{CHAMPION}` is on the version that the "
            f"latest finished one says; `convnn confirm {own}` shows it."
        )
        self._call("register", self._client.create_registered_model, name, tags, about)
        return name

    def _version(self, name: str, champion: Champion, trial: Trial, model: Any) -> str:  # noqa: ANN401
        """The version with a model's weights, which is made unless it is there; it says what was found last."""
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
        """Let the model's page say which version it is, in MLflow's own tag for that."""
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
        f"{found[0].upper()}{found[1:]}. {champion.why}\n\nThe weights are those of its run with the first seed, "
        f"{seed} (trial {trial.number}), which no result chose.\n{_HOW.format(name=name)}"
    )


def _write_mlmodel(files: Path, model: Any, run: str) -> None:  # noqa: ANN401
    """What MLflow reads of a model's folder: how it is loaded, what goes in and out, and what made it."""
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
