import os
from pathlib import Path

from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tests.tune_jobs.search.under_auto import auto_sweep
from tests.tune_jobs.shipping import Recorded
from tune_jobs.record.lease import lease
from tune_jobs.record.rows import Halted


def test_the_driver_and_the_progress_of_a_sweep_are_shown(sweep: Recorded) -> None:
    storage = sweep.folder.path.parent
    sweep.attempt([1, 2])
    with lease(sweep.folder.path):
        said = invoke("status", "tracked", storage=storage)
        assert said.startswith(f"running: process {os.getpid()} on ")
        assert invoke_json("status", "tracked", storage=storage)["running"]
    assert "1 running" in said
    assert invoke("status", "tracked", "--watch", storage=storage).startswith("unfinished: not running\n")
    assert not invoke_json("status", "tracked", storage=storage)["running"]


def test_the_reason_of_a_stop_is_shown(sweep: Recorded) -> None:
    sweep.ledger.meta.halted = Halted("budget", "budget.trials 3 is used up")
    assert "It has stopped: budget.trials 3" in invoke("status", "tracked", storage=sweep.folder.path.parent)


def test_watch_and_json_cannot_be_combined(sweep: Recorded) -> None:
    said = invoke("status", "tracked", "--watch", "--json", storage=sweep.folder.path.parent, expect=2)
    assert "--watch and --json cannot be combined" in said


def test_the_possible_cost_of_the_stopping_rule_is_shown_as_text_and_json(tmp_path: Path) -> None:
    auto_sweep(tmp_path)
    assert (
        "\nchance that a stopped trial would have been among the best 3: 0% to 78% "
        "(90% interval, Clopper-Pearson: 0 of 2 controls that the rule would have stopped)\n"
    ) in invoke("status", "test", storage=tmp_path)
    told = invoke_json("status", "test", storage=tmp_path)["risk"]
    assert {name: told[name] for name in ("best", "confidence", "low", "controls", "among_best")} == {
        "best": 3,
        "confidence": 0.9,
        "low": 0,
        "controls": 2,
        "among_best": 0,
    }
    assert 0.77 < told["high"] < 0.78


def test_without_a_rule_there_is_no_risk(sweep: Recorded) -> None:
    sweep.attempt([1, 2], "stopped", "by hand")
    assert invoke_json("status", "tracked", storage=sweep.folder.path.parent)["risk"] is None
