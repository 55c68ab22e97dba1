"""A sweep that `stopping.enough` ends: its messages, that a resumed run ends the same way, and how to continue it."""

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from search_spaces import SweepSpec, parse_sweep
from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tests.tune_jobs.driver.scripted import Unseen, WatchedLedger, new_ledger
from tests.tune_jobs.stores import new_store
from tune_jobs.driver.run import run
from tune_jobs.driver.trials import Sweep, run_trials
from tune_jobs.executors.inline import open_inline
from tune_jobs.executors.registry import add_executor
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.system.signals import Signals
from tune_jobs.tracking.address import default_store
from tune_jobs.worker.reports import EpochDone, Report
from tune_jobs.worker.task import Task

PLANNED = 24
EVERY = 9
"""Number of commits after which the driver is killed."""

SPEC = parse_sweep(f"""
name: plenty
space:
  data: {{name: digits}}
  model: {{width: 0.125, layer: {{kind: conv2d}}}}
  training: {{lr: {{log_uniform: [1.0e-4, 1.0e-2]}}, epochs: 2}}
search: {{sampler: random, trials: {PLANNED}}}
stopping: {{enough: {{within: 5, confidence: 0.6}}}}
resources: {{min_free_gb: 0, max_concurrent: 3}}
""")


def alike(task: Task) -> Iterator[Report]:
    """Report accuracies that are all within 2 points."""
    height = 0.9 + int(task.run_key[:4], 16) / 16**4 / 50
    size = {"params": 1.0, "gflops": 1.0, "gflops_published": 1.0}
    yield from (EpochDone(epoch, {"val/accuracy": height * epoch / 2, **size}) for epoch in (1, 2))


add_executor("plenty", open_inline(alike))


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the storage folder of a sweep that `stopping.enough` has ended."""
    storage = tmp_path_factory.mktemp("storage")
    new_store(default_store(SweepFolder(storage / "plenty")))
    outcome = run(SPEC, progress=False, storage=storage, executor="plenty")
    assert outcome.halt is not None
    assert (outcome.halt.cause, outcome.halt.exit_code, outcome.tracked.error) == ("enough", 0, None)
    return storage


def trials(storage: Path) -> int:
    return len(invoke_json("show", "plenty", storage=storage)["trials"])


def test_every_command_shows_the_state_enough(ended: Path) -> None:
    assert 8 <= trials(ended) < PLANNED
    assert [sweep["state"] for sweep in invoke_json("list", storage=ended)["sweeps"]] == ["enough"]
    assert invoke_json("status", "plenty", storage=ended)["state"] == "enough"
    shown = invoke_json("show", "plenty", storage=ended)
    assert (shown["state"], shown["halted"]["cause"]) == ("enough", "enough")
    for command in ("show", "status"):
        said = invoke(command, "plenty", storage=ended)
        assert "It has stopped" not in said
        assert "remaining trials beats the best by more than 5 points of val/accuracy is at most" in said
        assert "convnn resume plenty --set stopping.enough=null" in said
    page = SweepFolder(ended / "plenty").report.read_text()
    assert '<span class="state enough">enough</span>' in page
    assert re.search("10 more trials would probably (not improve the best|improve the best by [0-9])", page)


def test_mlflow_shows_the_reason_as_well(ended: Path) -> None:
    client = MlflowClient(f"sqlite:///{default_store(SweepFolder(ended / 'plenty'))}")
    runs = client.search_runs([client.get_experiment_by_name("plenty").experiment_id])
    (parent,) = [found for found in runs if found.data.tags["run_key"] == "sweep"]
    assert parent.info.status == "FINISHED"
    assert "stopping.enough" in parent.data.tags["mlflow.note.content"]


def test_resuming_it_trains_nothing_and_says_why(ended: Path) -> None:
    before = invoke_json("show", "plenty", storage=ended)
    said = invoke("resume", "plenty", storage=ended)  # it starts no Ray cluster
    assert before["halted"]["message"] in said.replace("\n", " ")
    assert said.rstrip().endswith("convnn resume plenty --set stopping.enough=null")
    assert invoke_json("resume", "plenty", storage=ended)["halted"] == before["halted"]
    assert invoke_json("show", "plenty", storage=ended) == before


def test_the_report_says_how_much_more_trials_would_bring(ended: Path) -> None:
    told = invoke_json("report", "plenty", storage=ended)["more_trials"]
    likely = told["forecast"]
    assert (likely["trials"], likely["tried"]) == (10, trials(ended))
    assert 0 == likely["median"] <= likely["most"] <= 0.1
    assert told["text"] in invoke("report", "plenty", storage=ended)


def drive(spec: SweepSpec, ledger: Ledger) -> str | None:
    """Run the remaining trials of a sweep, without a tracker, and return why it stopped early."""
    folder = SweepFolder(ledger.path.parent)
    _, halt = run_trials(Sweep(spec, folder, ledger, Unseen(), Signals()), open_inline(alike))
    return halt.cause if halt else None


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[WatchedLedger]:
    folder = SweepFolder(tmp_path / "plenty")
    folder.path.mkdir()
    with contextlib.closing(new_ledger(folder.ledger)) as found:
        yield found


def alter(*overrides: str) -> SweepSpec:
    return parse_sweep(SPEC.text, overrides=overrides)


def test_the_sweep_continues_without_the_setting(ledger: Ledger) -> None:
    assert drive(SPEC, ledger) == "enough"
    assert len(ledger.trials()) < PLANNED
    assert drive(alter("stopping.enough=null"), ledger) is None
    assert [trial.state for trial in ledger.trials()] == ["complete"] * PLANNED


def test_added_trials_are_judged_again(ledger: Ledger) -> None:
    drive(SPEC, ledger)
    before = len(ledger.trials())
    assert drive(alter("search.trials=200"), ledger) == "enough"
    assert before < len(ledger.trials()) < 200


def test_excluded_trials_do_not_count_as_enough(ledger: Ledger) -> None:
    assert drive(SPEC, ledger) == "enough"
    before = ledger.trials()
    for trial in before[1:]:
        ledger.add_request(trial.run_key, "exclude", "scripted")
    drive(SPEC, ledger)
    assert len(ledger.trials()) >= len(before) + 7  # eight that count


def test_killed_after_any_commit_it_ends_at_the_same_trial(ledger: WatchedLedger, tmp_path: Path) -> None:
    one = alter("resources.max_concurrent=1")
    ends: list[list[tuple[str, str]]] = []

    def resume_a_copy() -> None:
        ends.append([])
        if len(ends) % EVERY:
            return
        copy = tmp_path / "copies" / str(len(ends))
        copy.mkdir(parents=True)
        for file in ledger.path.parent.glob("ledger.db*"):
            shutil.copy(file, copy)
        with contextlib.closing(new_ledger(copy / ledger.path.name)) as killed:
            killed.interrupt_running()
            drive(one, killed)
            ends[-1] = [(trial.run_key, trial.state) for trial in killed.trials()]

    ledger.committed = resume_a_copy
    assert drive(one, ledger) == "enough"
    assert len(ends) > 50
    undisturbed = [(trial.run_key, trial.state) for trial in ledger.trials()]
    assert [end for end in ends if end and end != undisturbed] == []
