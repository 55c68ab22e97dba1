"""The stops of the rule `auto` on the packaged runs: in the benchmark's simple loop, and in `convnn simulate`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from benchmarks.families import EPOCHS, Table
from benchmarks.stopping import WORKERS, course
from search_spaces.settings import Auto
from tune_jobs.results.recorded.table import RecordedTable
from tune_jobs.search.pruners.curves import AutoRule
from tune_jobs.search.pruners.prior import recorded_sweeps
from tune_jobs.simulate.one_sweep import play
from tune_jobs.simulate.playback import by_number
from tune_jobs.simulate.simulation import Setting, _of_table

Stops = list[tuple[int, int]]
Prior = Literal["recorded", "none"]


def loop_stops(table: RecordedTable, order: Sequence[int], prior: Prior, most: int) -> Stops:
    """Return the run and epoch of every trial that the loop stops within `most` epochs, in order."""
    stops: Stops = []
    rule = AutoRule(EPOCHS, maximize=True, prior=recorded_sweeps() if prior == "recorded" else ())
    course(Table(table.curves["test/accuracy"], table.curves["test/loss"]), order, rule, stops, most)
    return stops


def simulated_stops(table: RecordedTable, repeat: int, prior: Prior, most: int) -> tuple[list[int], Stops]:
    """Return the order of the runs in this repeat of a simulation, and its stops."""
    spec, playback = _of_table(table, Setting(repeats=repeat + 1, epochs=EPOCHS, workers=WORKERS)).sweep(repeat)
    order = [by_number(config) for _, config in spec.space.sample(None)]
    played = play(replace(spec, stopping=Auto(kind="auto", prior=prior)), playback, workers=WORKERS, most=most)
    return order, [(run, round(cost)) for run, cost, _ in played.stopped]
