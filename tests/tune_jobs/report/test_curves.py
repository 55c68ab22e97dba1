import re
import time
from pathlib import Path

from tests.tune_jobs.report.drawn import Sweep, rows
from tests.tune_jobs.search.under_auto import auto_sweep
from tune_jobs.report import write_report


def test_epochs_that_were_run_again_count_once(sweep: Sweep) -> None:
    sweep.trial([0.1, 0.2], "interrupted")
    (trial,) = sweep.ledger.trials()
    attempt = sweep.ledger.start_attempt(trial.run_key)
    sweep.ledger.add_epoch(trial.run_key, attempt, 2, {"val/accuracy": 0.9})
    (line,) = sweep.figures()["learning-curves"]["data"]
    assert line["y"] == [0.1, 0.9]
    sweep.page(csv=True)
    assert [row["counts"] for row in rows(sweep.folder.path / "epochs.csv")] == ["1", "0", "1"]


def test_each_rung_says_how_many_it_stopped(sweep: Sweep) -> None:
    for _ in range(4):
        sweep.trial([0.1] * 3, "stopped", "by the stopping rule")
    sweep.trial([0.5] * 9, "complete")
    bars = {bar["name"]: dict(zip(bar["x"], bar["y"], strict=True)) for bar in sweep.figures()["stopping"]["data"]}
    assert bars == {"stopped there": {"epoch 3": 4}, "went on": {"epoch 3": 1}}


def test_a_thousand_trials_are_drawn_as_the_best_and_a_band(sweep: Sweep) -> None:
    for number in range(1000):
        top = sweep.rng.random()
        sweep.trial([top * (1 - 0.7**e) for e in range(1, 10)] if number % 10 == 0 else [top], "complete")
    begun = time.monotonic()
    lines = sweep.figures()["learning-curves"]["data"]
    assert time.monotonic() - begun < 15
    assert [line["name"] for line in lines[:2]] == ["8 in 10 others", "their median"]
    assert sum(line.get("visible", True) for line in lines) == 22
    assert len(lines) == 82  # those of the others that a field colors
    assert (sweep.folder.path / "report.html").stat().st_size < 8e6
    assert len(re.findall(r"data-value=", sweep.page())) == 1000


def test_what_the_stopping_rule_may_have_cost_stands_below_it(tmp_path: Path) -> None:
    page = write_report(auto_sweep(tmp_path), measure_s=0).report.read_text(encoding="utf-8")
    assert (
        "Chance that a stopped trial would have been among the best 3: 0% to 78% "
        "(90% interval, Clopper-Pearson: 0 of 2 controls that the rule would have stopped)."
    ) in page


def test_of_a_rule_without_controls_it_is_said_that_nothing_is_known(sweep: Sweep) -> None:
    sweep.trial([0.1] * 3, "stopped", "by the stopping rule")
    assert "among the best 3: not known, as asha runs no trial to its end that it would stop" in sweep.page()
