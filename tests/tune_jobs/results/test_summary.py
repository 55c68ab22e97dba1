import math
from pathlib import Path

import pytest

from search_spaces import TrialConfig
from tune_jobs.failures import Failure
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.meta import Goal
from tune_jobs.record.rows import Halted, State
from tune_jobs.results.overview import overview
from tune_jobs.results.summary import read_summary

FAILURES: dict[State, Failure] = {"diverged": "diverged", "failed": "oom"}
Told = tuple[str, State | None, list[float]]


def written(folder: SweepFolder, *trials: Told, goal: Goal = "maximize", planned: int | None = None) -> SweepFolder:
    """Write a sweep with these trials, each given by its key, its state, and its value at each epoch."""
    folder.path.mkdir()
    ledger = Ledger(folder.ledger, create=True)
    ledger.meta.goal = goal
    if planned is not None:
        ledger.meta.planned = planned
    for key, state, values in trials:
        model = {"name": "vgg11", "layer": {"kind": "conv2d"}}
        config = TrialConfig.model_validate({"model": model, "training": {"epochs": 5}})
        ledger.add_trial({}, config, key)
        attempt = ledger.start_attempt(key)
        for epoch, value in enumerate(values, start=1):
            ledger.add_epoch(key, attempt, epoch, {"val/accuracy": value})
        if state is not None:
            ledger.end_attempt(key, attempt, state, failure=FAILURES.get(state))
    ledger.close()
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    return SweepFolder(tmp_path / "sweep")


@pytest.mark.parametrize(("goal", "order"), [("maximize", "badcefg"), ("minimize", "abcdefg")])
def test_complete_trials_come_first_then_those_that_got_furthest(folder: SweepFolder, goal: Goal, order: str) -> None:
    trials: list[Told] = [
        ("a", "complete", [0.1]),
        ("b", "complete", [0.2]),
        ("c", "stopped", [0.1, 0.4, 0.5]),
        ("d", None, [0.1, 0.4, 0.9]),
        ("e", "stopped", [0.99]),
        ("f", "diverged", [math.nan]),
        ("g", "failed", []),
    ]
    found = read_summary(written(folder, *trials, goal=goal))
    assert "".join(row.run_key for row in found.rows) == order
    assert found.best is not None
    assert found.best.run_key == order[0]


def test_without_a_value_no_trial_is_the_best(folder: SweepFolder) -> None:
    found = read_summary(written(folder, ("a", "failed", [0.9]), ("b", "interrupted", [])))
    assert found.best is None
    assert [(row.run_key, row.state) for row in found.rows] == [("a", "failed"), ("b", "waiting")]
    assert found.failures() == {"oom": 1}


def test_incomplete_trials_are_ranked_at_an_epoch_that_two_have_reached(folder: SweepFolder) -> None:
    trials: list[Told] = [
        ("far", None, [0.1, 0.15, 0.16, 0.17]),
        ("good", None, [0.1, 0.2, 0.23]),
        ("new", None, [0.3]),
    ]
    found = read_summary(written(folder, *trials, planned=9))
    assert found.compared_at == 3
    assert [row.run_key for row in found.rows] == ["good", "far", "new"]
    assert found.best is not None
    assert found.best.run_key == "good"


def leave_out(folder: SweepFolder, *keys: str) -> None:
    ledger = Ledger(folder.ledger)
    for key in keys:
        ledger.add_request(key, "exclude", f"why {key}")
    ledger.close()


def test_excluded_trials_come_last_and_count_only_in_the_cost(folder: SweepFolder) -> None:
    trials: list[Told] = [("a", "complete", [0.9]), ("b", "complete", [0.5]), ("c", "failed", []), ("d", None, [0.1])]
    written(folder, *trials, planned=4)
    assert read_summary(folder).exclusions is None
    leave_out(folder, "a")
    found = read_summary(folder)
    assert [row.run_key for row in found.rows] == ["b", "d", "a", "c"]
    assert [row.run_key for row in found.shown] == ["b", "d", "c"]
    assert (found.best, found.count("complete"), found.ended, found.used.trials) == (found.rows[0], 1, 3, 4)
    assert found.exclusions == "1 trial is excluded: trial 1 (why a)"
    leave_out(folder, "c")
    assert read_summary(folder).failures() == {}
    assert read_summary(folder).exclusions == "2 trials are excluded: trial 1 (why a), trial 3 (why c)"


def test_a_sweep_is_done_even_if_an_excluded_trial_has_not_ended(folder: SweepFolder) -> None:
    written(folder, ("a", "complete", [0.9]), ("b", "interrupted", [0.5]), planned=2)
    assert not read_summary(folder).whole
    leave_out(folder, "b")
    assert read_summary(folder).whole
    assert overview(folder)["state"] == "done"


def test_programs_get_stable_keys(folder: SweepFolder) -> None:
    written(folder, ("a", "complete", [0.25, 0.5]), planned=2)
    ledger = Ledger(folder.ledger)
    ledger.meta.halted = Halted("budget", "used up")
    ledger.meta.budget = {"gpu_hours": 1.5}
    ledger.close()
    told = read_summary(folder).as_dict()
    (trial,) = told.pop("trials")
    constants = told.pop("constants")
    assert (constants["kind"], constants["epochs"]) == ("conv2d", 5)
    assert told == {
        "sweep": "sweep",
        "metric": "val/accuracy",
        "goal": "maximize",
        "planned": 2,
        "repeats": 1,
        "configurations_ended": 1,
        "used": {"gpu_hours": 0.0, "cpu_hours": 0.0, "wall_hours": 0.0, "trials": 1},
        "budget": {"gpu_hours": 1.5},
        "halted": {"cause": "budget", "message": "used up"},
        "failures": {},
        "ranked_at_epoch": None,
        "columns": [],
    }
    params = trial.pop("params")
    assert params["lr"] == 1e-4
    assert trial == {
        "trial": 1,
        "run_key": "a",
        "repeat_of": None,
        "seed": 0,
        "state": "complete",
        "reason": None,
        "failure": None,
        "excluded": None,
        "epoch": 2,
        "epochs": 5,
        "value": 0.5,
        "metrics": {"val/accuracy": 0.5},
        "varying": {},
    }


@pytest.mark.parametrize(("planned", "state"), [(1, "done"), (2, "unfinished")])
def test_the_list_shows_the_progress_of_a_sweep(folder: SweepFolder, planned: int, state: str) -> None:
    found = overview(written(folder, ("a", "complete", [0.5]), planned=planned))
    assert found == {
        "name": "sweep",
        "error": None,
        "state": state,
        "trials": 1,
        "ended": 1,
        "planned": planned,
        "repeats": 1,
        "configurations_ended": 1,
        "metric": "val/accuracy",
        "best": 0.5,
        "best_at_epoch": None,
        "seeds": None,
        "started": None,
    }


def test_a_ledger_that_cannot_be_read_is_listed_with_the_reason(folder: SweepFolder) -> None:
    folder.path.mkdir()
    folder.ledger.write_bytes(b"no database" * 1000)
    assert overview(folder) == {
        "name": "sweep",
        "error": f"{folder.ledger} cannot be opened: file is not a database; is it complete, and its folder writable?",
    }
