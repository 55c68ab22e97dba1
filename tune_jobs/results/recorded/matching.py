"""Matches a configuration to recorded runs: equal in all fields except those that do not affect training."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from search_spaces import TrialConfig
from search_spaces.base import by_path
from search_spaces.canonical import config_key
from search_spaces.domains import Scalar
from search_spaces.models.depth import Layers
from tune_jobs.errors import UsageError
from tune_jobs.results.recorded.table import RecordedTable

HARDWARE = {"compile": False, "precision": "fp32"}
"""Fields of `training` that only affect how a run is computed, and their defaults."""


def configuration(config: TrialConfig) -> str:
    """Return a key that ignores the seed, and with a constant learning rate also the number of epochs."""
    return _key(config, {"seed": 0})


def same_training(config: TrialConfig) -> str:
    """Return such a key that also ignores how a run is computed."""
    return _key(config, {"seed": 0, **HARDWARE})


def _key(config: TrialConfig, same: dict[str, object]) -> str:
    if config.training.schedule == "constant":
        same["epochs"] = 1
    return config_key(config.model_copy(update={"training": config.training.model_copy(update=same)}))


BY_DEPTH = "model.layers"
"""The path that is reported for layers by depth if no recorded run has layers by depth."""


class Runs:
    """The runs of a table by configuration, to simulate a configuration or to compare with it.

    All fields must be equal except: the seed, `compile`, `precision`, the folder of the images, and with a constant
    learning rate the number of epochs, if the run has at least that many.
    """

    def __init__(self, table: RecordedTable) -> None:
        """Index the runs that have a configuration.

        Raises:
            UsageError: If no run has one.
        """
        self.table = table
        self.by_key: dict[str, list[int]] = defaultdict(list)
        """The numbers of all runs of a configuration, of any length."""

        self.values: dict[str, set[Scalar]] = defaultdict(set)
        """The values of the runs at each path of a configuration."""

        for number, run in enumerate(table.runs):
            if run.config is not None:
                self.by_key[same_training(run.config)].append(number)
                for path, value in by_path(run.config.model_dump(mode="json", by_alias=True)):
                    self.values[path].add(value)
        if not self.by_key:
            ((why, _),) = Counter(run.why_none for run in table.runs).most_common(1) or [(None, 0)]
            raise UsageError(
                f"no run of {table.name} is a configuration of a sweep file ({why or 'it has no runs'}); name its "
                f"columns by the paths in a sweep file, as in training.lr, or leave out FILE."
            )

    def of(self, config: TrialConfig) -> list[int]:
        """Return the numbers of the matching runs; if some have the configuration's seed, only those."""
        found = self.by_key.get(same_training(config), ())
        fitting = [n for n in found if self._long_enough(n, config.training.epochs)]
        seeded = [n for n in fitting if self._config(n).training.seed == config.training.seed]
        return seeded or fitting

    def _long_enough(self, number: int, epochs: int) -> bool:
        return self.table.runs[number].diverged or self.table.lengths[number] >= epochs

    def _config(self, number: int) -> TrialConfig:
        config = self.table.runs[number].config
        assert config is not None
        return config

    def why_none(self, config: TrialConfig) -> str:
        """Return why a configuration has no run: the fields whose value no run has, or another reason."""
        if lengths := [int(self.table.lengths[n]) for n in self.by_key.get(same_training(config), ())]:
            return f"training.epochs {config.training.epochs}, and the run has {max(lengths)}"
        if recorded := self._recorded_epochs(config):
            schedule, needed = config.training.schedule, ", ".join(map(str, recorded))
            return (
                f"training.epochs {config.training.epochs}: with schedule {schedule} it must be as recorded, {needed}"
            )
        found = [f"{path} {value}" for path, value in self.unrecorded(config)]
        return ", ".join(found) or "each value was recorded, their combination was not"

    def _recorded_epochs(self, config: TrialConfig) -> list[int]:
        """Return the numbers of epochs of the runs that differ in nothing else."""
        epochs = sorted(value for value in self.values["training.epochs"] if isinstance(value, int))
        trainings = {n: config.training.model_copy(update={"epochs": n}) for n in epochs}
        others = {n: config.model_copy(update={"training": training}) for n, training in trainings.items()}
        return [n for n in epochs if same_training(others[n]) in self.by_key]

    def unrecorded(self, config: TrialConfig) -> Iterator[tuple[str, Scalar]]:
        """Yield the fields of a configuration whose value no run has."""
        free = {f"training.{name}" for name in ("epochs", "seed", *HARDWARE)} | {"data.root"}
        by_depth = isinstance(config.model.mixing_layer, Layers)
        alike = by_depth and not any(path.startswith("model.layers.") and seen for path, seen in self.values.items())
        if alike:
            yield BY_DEPTH, "by depth"
        for path, value in by_path(config.model_dump(mode="json", by_alias=True)):
            if alike and path.startswith("model.layers."):
                continue
            if path not in free and value not in self.values[path]:
                yield path, value
