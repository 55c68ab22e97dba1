"""Sweeps made from the published runs, as the comparison reads them and as ledgers store them."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from search_spaces import TrialConfig, canonical, load_sweep, presets, run_key
from tune_jobs.evidence.trials import OurSweep, OurTrial
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.results.recorded.matching import Runs, same_training

METRICS = ("test/accuracy", "test/loss")


def configs(preset: str, *overrides: str, seeds: Sequence[int] = (42,)) -> list[TrialConfig]:
    """Return every configuration of a preset, with each of these seeds."""
    found = [config for _, config in load_sweep(preset, list(overrides)).space.sample(None)]
    return [with_training(config, seed=seed) for config in found for seed in seeds]


def with_training(config: TrialConfig, **changes: object) -> TrialConfig:
    """Return the configuration with other training settings."""
    return config.model_copy(update={"training": config.training.model_copy(update=changes)})


def trial(
    runs: Runs, number: int, config: TrialConfig, epochs: int, state: str = "complete", *, shift: float = 0.0
) -> OurTrial:
    """Return a trial with the curves of the first recorded run of its configuration, or of any run, plus `shift`."""
    run = runs.by_key.get(same_training(config), [0])[0]
    curves: dict[str, Mapping[int, float]] = {
        name: {epoch + 1: float(runs.table.curves[name][run, epoch]) + shift for epoch in range(epochs)}
        for name in METRICS
    }
    return OurTrial(number, config, state, curves)


def sweep(trials: Sequence[OurTrial], protocol: str = "paper", name: str = "ours") -> OurSweep:
    """Return a sweep of these trials."""
    return OurSweep(name, protocol, f"protocol {protocol}", "test/accuracy", trials)


def recorded(
    place: Path, preset: str, trials: Sequence[OurTrial], name: str, *overrides: tuple[str, str]
) -> SweepFolder:
    """Write a sweep folder with a ledger of these trials; its file is the preset with these texts replaced."""
    folder = SweepFolder(place / name)
    folder.path.mkdir(parents=True)
    text = presets.path(preset).read_text(encoding="utf-8")
    for old, new in ((f"name: {preset}", f"name: {name}"), *overrides):
        assert old in text
        text = text.replace(old, new)
    folder.spec.write_text(text)
    with contextlib.closing(Ledger(folder.ledger, create=True)) as ledger:
        ledger._db.execute("PRAGMA synchronous=OFF")
        ledger.meta.metric, ledger.meta.goal = "test/accuracy", "maximize"
        for each in trials:
            key = run_key(each.config)
            ledger.add_trial({}, canonical(each.config), key)
            attempt = ledger.start_attempt(key, gpus=0.0, cpus=1)
            for epoch in each.curves["test/accuracy"]:
                ledger.add_epoch(key, attempt, epoch, {name: curve[epoch] for name, curve in each.curves.items()})
            ledger.end_attempt(key, attempt, each.state)  # type: ignore[arg-type]
    return folder
