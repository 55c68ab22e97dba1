"""A sweep and its attempts record the code of plugins; it is compared whenever the sweep continues."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from convnn import plugins
from search_spaces import Decided, SweepSpec, parse_sweep
from search_spaces.models import VGG11, VGGLayer
from search_spaces.models.vgg import LAYERS
from tests.installing import install, installed
from tests.tune_jobs.driver.scripted import Unseen
from tune_jobs.driver.opening import open_ledger
from tune_jobs.driver.trials import Sweep, run_trials, task_of
from tune_jobs.errors import LedgerError, UsageError
from tune_jobs.events import Job
from tune_jobs.executors.inline import open_inline
from tune_jobs.record.folder import SweepFolder, recorded_spec
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.manifest import recorded_starts, write_manifest
from tune_jobs.results.columns import fields, possible
from tune_jobs.results.summary import summary
from tune_jobs.system.signals import Signals
from tune_jobs.worker.attempt import train_task
from tune_jobs.worker.entrypoint import reports_of
from tune_jobs.worker.reports import AttemptFailed, ResumedFrom

FILE = """
name: mine
space:
  data: {name: stripes}
  model:
    width: 0.0625
    classifier_width: 8
    layer: {kind: grouped, groups: {choice: [1, 2]}, shuffle: {choice: [true, false]}}
  training: {epochs: 2, batch_size: 64}
search: {sampler: shuffled}
stopping: {kind: behind_best}
resources: {max_concurrent: 1, min_free_gb: 0}
"""
KINDS = {
    "convnn.layers grouped",
    "convnn.datasets stripes",
    "convnn.samplers shuffled",
    "convnn.stopping_rules behind_best",
}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    """Install the plugin for a test that changes it."""
    with installed(install(tmp_path / "site")) as place:
        yield place


@pytest.fixture
def spec(site: Path) -> SweepSpec:
    assert site.exists()
    return parse_sweep(FILE)


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    (tmp_path / "mine").mkdir()
    return SweepFolder(tmp_path / "mine")


def add_a_trial(folder: SweepFolder, spec: SweepSpec) -> None:
    with contextlib.closing(open_ledger(folder, spec)) as ledger:
        ledger.add_trial({}, spec.space.resolve(Decided(next(spec.space.points()))), "a-s0")


def grouped(spec: SweepSpec) -> type[VGGLayer]:
    """Return the class of the plugin's layer."""
    model = spec.space.resolve(Decided(next(spec.space.points()))).model
    assert isinstance(model, VGG11)
    return type(model.mixing_layer)


def change(site: Path, file: str, old: str, new: str) -> None:
    text = (site / "my_kinds" / file).read_text()
    assert old in text
    (site / "my_kinds" / file).write_text(text.replace(old, new))
    plugins.forget()


def test_a_sweep_with_a_plugin_trains_and_records_its_code(folder: SweepFolder, spec: SweepSpec) -> None:
    with contextlib.closing(open_ledger(folder, spec)) as ledger:
        run_trials(Sweep(spec, folder, ledger, Unseen(), Signals()), open_inline(train_task))
        found = summary("mine", ledger, [*map(fields, possible(spec))])
        trials, attempts = ledger.trials(), ledger.attempts()
        (recorded,) = (ledger.meta.plugins or {}).values()
        start = write_manifest(folder, {}, ledger.meta.plugins)
    assert {trial.state for trial in trials} <= {"complete", "stopped"}
    assert len(trials) == 3  # shuffle has no effect if groups is 1
    assert {column.name for column in found.columns} >= {"groups", "shuffle"}
    assert {attempt.environment.plugins["my-kinds"] for attempt in attempts if attempt.environment} == {
        recorded["digest"]
    }
    assert len([attempt for attempt in attempts if attempt.environment]) == len(trials)
    assert recorded["kinds"] == dict.fromkeys(KINDS, 1)
    assert set(recorded["files"]) >= {"my_kinds/layers.py", "my_kinds/modules.py"}
    assert recorded_starts(folder)[-1]["plugins"] == start["plugins"] == {"my-kinds": recorded}


def test_a_sweep_of_built_in_kinds_records_no_plugin(folder: SweepFolder) -> None:
    spec = parse_sweep("name: mine\nspace: {model: {layer: {kind: conv2d}}}\n")
    add_a_trial(folder, spec)
    with contextlib.closing(Ledger(folder.ledger)) as ledger:
        assert ledger.meta.plugins is None


def test_changed_code_is_refused_with_its_files_unless_accepted(
    site: Path, folder: SweepFolder, spec: SweepSpec
) -> None:
    add_a_trial(folder, spec)
    before = folder.ledger.read_bytes()
    open_ledger(folder, spec).close()
    change(site, "modules.py", "padding=1", "padding=1, bias=True")
    (site / "my_kinds" / "more.json").write_text("{}")
    plugins.forget()
    with pytest.raises(UsageError) as refused:
        open_ledger(folder, spec)
    assert str(refused.value) == (
        "the code of a plugin has changed since the trials of mine ran; results would mix:\n"
        "  my-kinds 1.0: changed my_kinds/modules.py, new my_kinds/more.json\n"
        "Install the code that the trials ran with, or use another name (convnn run FILE --set name=mine-2), or "
        "continue with the current code: --accept-code. Each attempt records the digest of the code that it ran."
    )
    assert folder.ledger.read_bytes() == before
    open_ledger(folder, spec, accept_code=True).close()
    open_ledger(folder, spec).close()  # the accepted code is now the recorded code


def test_a_changed_config_version_is_always_refused(
    folder: SweepFolder, spec: SweepSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_a_trial(folder, spec)
    monkeypatch.setattr(grouped(spec), "config_version", 2)
    with pytest.raises(UsageError, match=r"convnn\.layers grouped: config_version 1 -> 2\n"):
        open_ledger(folder, spec, accept_code=True)


def test_a_sweep_without_recorded_versions_is_refused_if_its_kind_has_one(folder: SweepFolder, spec: SweepSpec) -> None:
    add_a_trial(folder, spec)
    with contextlib.closing(Ledger(folder.ledger)) as ledger:
        ledger.meta.plugins = None
    with pytest.raises(UsageError, match=r"convnn\.layers grouped: config_version none -> 1\n"):
        open_ledger(folder, spec, accept_code=True)


def test_code_may_change_before_the_first_trial(site: Path, folder: SweepFolder, spec: SweepSpec) -> None:
    open_ledger(folder, spec).close()
    change(site, "modules.py", "padding=1", "padding=1, bias=True")
    open_ledger(folder, spec).close()


def test_a_sweep_without_its_plugin_names_the_missing_plugin(site: Path, folder: SweepFolder, spec: SweepSpec) -> None:
    add_a_trial(folder, spec)
    (site / "my_kinds-1.0.dist-info").rename(site / "gone")
    with installed(site):
        LAYERS.unregister(grouped(spec))
        needs = "the sweep mine was run with the plugin my-kinds 1.0, which is not installed here; install it with pip."
        with pytest.raises(UsageError, match=needs):
            recorded_spec(folder)
        with contextlib.closing(Ledger(folder.ledger)) as ledger, pytest.raises(LedgerError, match=needs):
            ledger.trials()


def test_a_worker_with_other_code_than_the_driver_does_not_train(
    site: Path, folder: SweepFolder, spec: SweepSpec
) -> None:
    config = spec.space.resolve(Decided(next(spec.space.points())))
    task = replace(task_of(spec, folder, Job("a-s0", 1, 1, config)), folder=folder.path / "1")
    assert isinstance(next(reports_of(task, train_task)), ResumedFrom)
    change(site, "modules.py", "padding=1", "padding=1, bias=True")
    (only,) = reports_of(task, train_task)
    assert isinstance(only, AttemptFailed)
    digest = task.plugins["my-kinds"]
    rule = f"the plugin my-kinds must have the same code as on the driver's machine (digest {digest}), got "
    assert only.reason.startswith(f"ValueError: {rule}")
