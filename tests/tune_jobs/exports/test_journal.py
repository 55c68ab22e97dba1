import math
import tarfile
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from search_spaces import Decided, TrialConfig, canonical, run_key
from tests.tune_jobs.record.test_begun_with_0_1_0 import HERE, NAME
from tests.tune_jobs.report import hostile
from tests.tune_jobs.report.drawn import Sweep
from tune_jobs.errors import LedgerError
from tune_jobs.exports.journal import write_journal
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.rows import CONFIRM

COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL


def studies(folder: SweepFolder, file: Path) -> dict[str, optuna.Study]:
    """Return the studies that Optuna finds in a sweep's journal."""
    write_journal(folder, file)
    storage = JournalStorage(JournalFileBackend(str(file)))
    names = optuna.get_all_study_names(storage)
    return {name: optuna.load_study(study_name=name, storage=storage) for name in names}


def trials(sweep: Sweep) -> list[FrozenTrial]:
    return studies(sweep.folder, sweep.folder.path / "journal.log")[sweep.folder.name].trials


def test_optuna_finds_every_trial_of_the_ledger(sweep: Sweep) -> None:
    sweep.trial([0.5, 0.75], "complete")
    sweep.trial([0.1], "stopped", "by the stopping rule")
    sweep.trial([0.1, math.nan], "diverged", "loss is nan", "diverged")
    sweep.trial([], "failed", "CUDA out of memory", "oom")
    sweep.trial([0.2], None)
    study = studies(sweep.folder, sweep.folder.path / "journal.log")[sweep.folder.name]
    assert study.direction.name == "MAXIMIZE"
    assert study.metric_names == ["val/accuracy"]
    found = study.trials
    assert [(each.state, each.value) for each in found] == [
        *((COMPLETE, 0.75), (PRUNED, 0.1), (FAIL, None), (FAIL, None), (TrialState.RUNNING, None))
    ]
    asks, attempts = sweep.ledger.asks(), sweep.ledger.attempts()
    assert [each.params for each in found] == [ask.decisions for ask in asks]
    for each, trial, attempt in zip(found, sweep.ledger.trials(), attempts, strict=True):
        recorded = {epoch.epoch: epoch.metrics["val/accuracy"] for epoch in sweep.ledger.epochs(trial.run_key)}
        assert each.intermediate_values == pytest.approx(recorded, nan_ok=True)
        assert each.user_attrs["run_key"] == trial.run_key
        assert each.user_attrs["trial"] == trial.number
        assert each.datetime_start is not None
        assert each.datetime_start.timestamp() == pytest.approx(attempt.started, abs=1e-3)
    assert [each.user_attrs.get("failure") for each in found] == [None, None, "diverged", "oom", None]


def test_a_trial_that_has_not_started_is_left_out_and_not_counted(sweep: Sweep) -> None:
    sweep.trial([0.5], "complete")
    point = sweep.spec.space.draw(sweep.rng)
    config = canonical(sweep.spec.space.resolve(Decided(point)))
    sweep.ledger.add_trial(point, config, run_key(config))
    assert [each.state for each in trials(sweep)] == [COMPLETE]
    assert [each.trials for each in write_journal(sweep.folder, sweep.folder.path / "counted.log")] == [1]


def test_distributions_are_those_of_the_sweep_file(sweep: Sweep) -> None:
    for _ in range(20):
        sweep.trial([0.5], "complete")
    found = {name: each for trial in trials(sweep) for name, each in trial.distributions.items()}
    by_kind: dict[type, list[Any]] = {}
    for each in found.values():
        by_kind.setdefault(type(each), []).append(each)
    assert by_kind[FloatDistribution] == [FloatDistribution(1e-5, 1e-2, log=True)]
    assert by_kind[IntDistribution] == [IntDistribution(16, 256)]
    assert CategoricalDistribution([4, 9]) in by_kind[CategoricalDistribution]


def test_optuna_computes_importances_of_the_study(sweep: Sweep) -> None:
    for _ in range(12):
        lr = sweep.next_lr()
        sweep.trial([-math.log(lr)], "complete")
    study = studies(sweep.folder, sweep.folder.path / "journal.log")[sweep.folder.name]
    found = optuna.importance.get_param_importances(study)
    assert max(found, key=lambda name: found[name]) == "space.training.lr"


def test_an_excluded_trial_is_a_failed_one(sweep: Sweep) -> None:
    sweep.trial([0.5], "complete")
    sweep.trial([0.9], "complete")
    sweep.ledger.add_request(sweep.ledger.trials()[1].run_key, "exclude", "wrong images")
    first, second = trials(sweep)
    assert (first.state, second.state) == (COMPLETE, FAIL)
    assert second.user_attrs["excluded"] == "wrong images"


def test_a_further_seed_has_the_parameters_of_its_configuration(sweep: Sweep) -> None:
    sweep.trial([0.5], "complete")
    _again(sweep, sweep.ledger.trials()[0].config, role="search", seed=1)
    first, second = trials(sweep)
    assert first.params == second.params != {}
    assert (first.user_attrs["config_key"], second.user_attrs["seed"]) == (second.user_attrs["config_key"], 1)


def test_runs_of_a_confirmation_are_a_separate_study(sweep: Sweep) -> None:
    sweep.trial([0.5], "complete")
    _again(sweep, sweep.ledger.trials()[0].config, role=CONFIRM, seed=7)
    other = sweep.spec.space.resolve(Decided(sweep.spec.space.draw(sweep.rng)))
    _again(sweep, canonical(other), role=CONFIRM, seed=8)  # a baseline that the search did not try
    found = studies(sweep.folder, sweep.folder.path / "journal.log")
    search, confirmation = found["drawn"], found["drawn (confirmation)"]
    assert (len(search.trials), confirmation.metric_names) == (1, ["test/accuracy"])
    assert [each.value for each in confirmation.trials] == [0.875, 0.875]
    assert [each.params for each in confirmation.trials] == [search.trials[0].params, {}]


def test_a_sweep_of_0_1_0_can_be_exported(tmp_path: Path) -> None:
    with tarfile.open(HERE / "half.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    found = studies(SweepFolder(tmp_path / NAME), tmp_path / "journal.log")[NAME].trials
    assert [each.state for each in found] == [COMPLETE, COMPLETE, PRUNED, PRUNED, TrialState.RUNNING]


def test_hostile_text_is_an_attribute(sweep: Sweep) -> None:
    hostile.drawn(sweep)
    places = [name for name in hostile.LEDGER if name.startswith(("trials.reason", "attempts.", "requests.why"))]
    hostile.fill(sweep, places, hostile.HOSTILE)
    reasons = {each.user_attrs.get("reason") for each in trials(sweep)} - {None}
    assert reasons == {f"trials.reason {hostile.HOSTILE}"}


def test_a_record_that_does_not_fit_its_file_is_refused_without_writing(sweep: Sweep) -> None:
    sweep.trial([0.5], "complete")
    hostile.decisions(sweep, hostile.HOSTILE)
    with pytest.raises(LedgerError, match="the record of trial 1 does not fit"):
        trials(sweep)
    assert not list(sweep.folder.path.glob("*journal*"))


def _again(sweep: Sweep, config: TrialConfig, *, role: Any, seed: int) -> None:
    """Add another run of a configuration, which the sampler did not propose."""
    again = config.model_copy(update={"training": config.training.model_copy(update={"seed": seed})})
    first = sweep.ledger.trials()[0].run_key if role != CONFIRM else None
    sweep.ledger.add_unasked(again, run_key(again), repeat_of=first, role=role)
    attempt = sweep.ledger.start_attempt(run_key(again))
    sweep.ledger.add_epoch(run_key(again), attempt, 1, {"val/accuracy": 0.25, "test/accuracy": 0.875})
    sweep.ledger.end_attempt(run_key(again), attempt, "complete")
