"""The objective against its cost."""

from typing import Any

import pytest

from tests.tune_jobs.report.drawn import Sweep, words
from tests.tune_jobs.report.made import pool
from tune_jobs.record.meta import Goal
from tune_jobs.report.costs import Cost, front_of
from tune_jobs.report.points import Point
from tune_jobs.results.row import Row

POOL = pool(6)


def point(row: Row, value: float) -> Point:
    return Point([row], value, "complete")


def test_no_configuration_beats_one_on_the_front_and_every_other_is_beaten() -> None:
    values, costs = (0.5, 0.7, 0.7, 0.4, 0.9, 0.9), (1.0, 2.0, 1.5, 3.0, 5.0, 4.0)
    points = [point(row, value) for row, value in zip(POOL, values, strict=True)]
    cost = Cost("seconds", "s", {row.run_key: each for row, each in zip(POOL, costs, strict=True)})
    for maximize in (True, False):
        sign = 1 if maximize else -1
        front = front_of(points, cost, maximize=maximize)

        def beaten(one: int, sign: int = sign) -> bool:
            return any(
                costs[other] <= costs[one]
                and sign * values[other] >= sign * values[one]
                and (costs[other], values[other]) != (costs[one], values[one])
                for other in range(6)
            )

        assert {id(each) for each in front} == {id(points[at]) for at in range(6) if not beaten(at)}


def test_a_configuration_costs_the_mean_of_its_seeds() -> None:
    cost = Cost("seconds", "s", {POOL[0].run_key: 1.0, POOL[1].run_key: 2.0})
    assert cost(Point(POOL[:3], 0.5, "complete")) == 1.5
    assert cost(point(POOL[3], 0.5)) is None


@pytest.mark.parametrize(
    ("goal", "front"), [("maximize", ([1, 2, 4], [0.5, 0.7, 0.9])), ("minimize", ([1, 3], [0.5, 0.4]))]
)
def test_the_reader_selects_the_cost_and_each_has_its_front(sweep: Sweep, goal: Goal, front: Any) -> None:
    sweep.ledger.meta.goal = goal
    for value, gflops in ((0.5, 1.0), (0.7, 2.0), (0.4, 3.0), (0.9, 4.0)):
        sweep.trial([value, value], "complete", params=7.0, gflops=gflops, epoch_s=100 / gflops)
    sweep.trial([0.99], "stopped", params=7.0, gflops=0.1, epoch_s=1.0)
    figure = sweep.figures()["pareto"]
    choices = {each["label"]: each for each in figure["layout"]["meta"]["choices"]}
    assert [*choices] == ["seconds per epoch", "training time", "peak memory", "GFLOPs"]
    assert [trace["name"] for trace in figure["data"]] == ["not run to the end", "complete", "Pareto front"]
    assert figure["data"][0]["marker"]["symbol"] == "circle-open"
    *_, drawn = choices["GFLOPs"]["data"]
    assert (drawn["x"], drawn["y"]) == front
    minutes = [2 * 100 / gflops / 60 for gflops in (4, 3, 2, 1)]
    assert sorted(choices["training time"]["data"][1]["x"]) == pytest.approx(minutes, rel=1e-4)
    assert choices["seconds per epoch"]["layout"]["xaxis"]["type"] == "log"  # 1 to 100
    assert "lr " in figure["data"][1]["text"][0]
    said = words(sweep.page())
    assert "Hollow circles (1) are the last epochs of trials that did not run to the end" in said
    assert "Memory was not measured" in said


def test_memory_that_was_measured_for_all_trials_is_not_estimated(sweep: Sweep) -> None:
    for value in (0.5, 0.6):
        sweep.trial([value], "complete", gpu_mem_gb=10 * value)
    (memory,) = sweep.figures()["pareto"]["layout"]["meta"]["choices"]
    assert memory["data"][0]["x"] == [6.0, 5.0]
    assert memory["layout"]["xaxis"]["title"]["text"] == "peak memory on the GPU in GB"
    assert "Memory was not measured" not in words(sweep.page())


def test_the_note_counts_trials_without_a_known_cost(sweep: Sweep) -> None:
    sweep.trial([0.5], "complete", epoch_s=2.0)
    sweep.trial([0.6], "complete")
    assert "1 without known seconds per epoch are left out of that plot." in words(sweep.page())
