from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from search_spaces import TrialConfig
from tune_jobs.display.tables import cell, cost, leaderboard, shortly, tally
from tune_jobs.failures import Failure
from tune_jobs.record.rows import Usage
from tune_jobs.results.summary import Row, Summary


def config(**layer: Any) -> TrialConfig:
    model = {"name": "vgg11", "layer": {"kind": "hybrid", "lambda": 0.25, "k": 4, **layer}}
    return TrialConfig.model_validate({"model": model, "training": {"epochs": 5}})


def row(number: int, state: str = "complete", value: float | None = 0.5, failure: Failure | None = None) -> Row:
    return Row(number, f"key{number}", state, None, failure, 5, value, {}, config())


def sweep(*rows: Row, **changes: Any) -> Summary:
    found = Summary("mine", "val/accuracy", "maximize", 9, Usage(0, 0, 0, 0), {}, None, list(rows))
    return replace(found, **changes)


def lines(found: Summary, most: int | None = None) -> list[str]:
    console = Console(width=160)
    with console.capture() as said:
        console.print(leaderboard(found, most))
    return said.get().splitlines()


def test_trials_are_counted_by_where_they_are_and_failures_by_their_class() -> None:
    rows = [row(1), row(2, "running"), row(3, "failed", None, "oom"), row(4, "diverged", None, "diverged")]
    said = "mine: 3 of 9 trials ended   1 running, 1 complete, 1 diverged, 1 failed (1 oom)"
    assert tally(sweep(*rows)) == said
    assert tally(sweep(row(1), planned=None)) == "mine: 1 trial ended   1 complete"


def test_what_is_used_stands_beside_the_limits_that_are_set() -> None:
    assert cost(sweep()) == "used: nothing yet"
    used = sweep(used=Usage(0.0, 1.5, 0.25, 4), budget={"gpu_hours": 8.0, "trials": 20})
    assert cost(used) == "used: 0 of 8 GPU-hours, 1.5 CPU-hours, 0.25 hours of running, 4 of 20 trials started"


def test_the_leaderboard_shows_what_differs_and_in_any_case_lambda_k_and_lr() -> None:
    alike = lines(sweep(row(1), row(2, "running", None)))
    assert alike[0].split() == ["trial", "lambda", "k", "lr", "epoch", "val/accuracy", "state"]
    assert alike[1].split()[-3:] == ["5/5", "50.00%", "complete"]
    assert alike[2].split()[-2:] == ["5/5", "running"]
    other = replace(row(2), config=config(aggregation="depthwise"))
    assert lines(sweep(row(1), other))[0].split()[1:5] == ["lambda", "k", "aggregation", "lr"]


def test_a_loss_is_no_percentage() -> None:
    assert lines(sweep(row(1), metric="val/loss"))[1].split()[-2] == "0.5000"


def test_a_leaderboard_that_is_cut_says_so() -> None:
    rows = [row(number) for number in range(1, 5)]
    assert [line.split()[0] for line in lines(sweep(*rows), 2)] == ["trial", "1", "2", "..."]
    assert len(lines(sweep(*rows), 4)) == 5


def test_a_configuration_in_a_line_leaves_out_what_it_has_not() -> None:
    assert shortly(config()) == "lambda 0.25, k 4, p 1, aggregation standard, lr 0.0001"


@pytest.mark.parametrize(("value", "said"), [(None, "-"), (0.123456, "0.123"), (4, "4"), ("depthwise", "depthwise")])
def test_a_parameter_is_short(value: object, said: str) -> None:
    assert cell(value) == said
