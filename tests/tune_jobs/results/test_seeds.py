"""Configurations with several seeds: how they are ranked, counted and shown."""

import contextlib
import tempfile
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from search_spaces import TrialConfig, run_key
from tune_jobs.display.tables import best_so_far, print_leaderboard, tally
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.meta import Goal
from tune_jobs.record.rows import State
from tune_jobs.results.overview import overview
from tune_jobs.results.summary import Summary, read_summary

Seed = float | State | None
"""The outcome of a seed: its accuracy if it is complete, otherwise its state; `None` if it is running."""

BEGUN: tuple[State, ...] = ("stopped", "diverged", "failed", "interrupted")


def config(k: int, seed: int) -> TrialConfig:
    model = {"name": "vgg11", "layer": {"kind": "hybrid", "lambda": 0.5, "k": k}}
    return TrialConfig.model_validate({"model": model, "training": {"epochs": 2, "seed": seed}})


def written(
    folder: SweepFolder,
    *configurations: list[Seed],
    repeats: int = 3,
    planned: int | None = None,
    goal: Goal = "maximize",
) -> Summary:
    """Return the summary of a sweep that trained these configurations in order, the first with k = 1."""
    folder.path.mkdir()
    with contextlib.closing(Ledger(folder.ledger, create=True)) as ledger:
        ledger.meta.goal, ledger.meta.repeats, ledger.meta.planned = goal, repeats, planned
        for k, seeds in enumerate(configurations, 1):
            first = run_key(config(k, 7))
            for place, seed in enumerate(seeds):
                found = config(k, 7 + place)
                key = run_key(found)
                if place:
                    ledger.add_unasked(found, key, repeat_of=first)
                else:
                    ledger.add_trial({}, found, key)
                attempt = ledger.start_attempt(key)
                value = seed if isinstance(seed, float) else 0.9
                ledger.add_epoch(key, attempt, 2 if isinstance(seed, float) else 1, {"val/accuracy": value})
                if seed is not None:
                    ledger.end_attempt(key, attempt, "complete" if isinstance(seed, float) else seed)
    return read_summary(folder)


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    return SweepFolder(tmp_path / "sweep")


def order(found: Summary) -> list[int]:
    """The k of each configuration, the best first."""
    return [getattr(each.rows[0].config.model.mixing_layer, "k", 0) for each in found.configurations]


def test_a_lucky_seed_does_not_beat_a_mean(folder: SweepFolder) -> None:
    found = written(folder, [0.5, 0.6, 0.7], [0.95, "diverged", 0.9], [0.8, 0.3, 0.5], [0.99], [None], planned=9)
    assert order(found) == [1, 3, 2, 4, 5]
    assert found.best is not None
    assert found.best.number == 3
    assert found.best_value == pytest.approx(0.6)
    assert found.best_said == "mean 60.00%, sd 10.00%, 3 seeds"
    assert [each.of_seeds() for each in found.configurations] == ["3", "3", "2 of 3", "1 of 3", "0 of 3"]
    assert found.ranking == "Ranked by the mean over 3 seeds; configurations with fewer seeds come after them."
    assert [group.mean for group in found.seeds] == pytest.approx([0.6, 0.8 / 3 + 0.8 / 3, 0.925])


def test_for_a_loss_the_lowest_mean_is_best(folder: SweepFolder) -> None:
    assert order(written(folder, [0.5, 0.7], [0.1, 0.9], [0.55, 0.3], repeats=2, goal="minimize")) == [3, 2, 1]


def test_the_ranking_says_if_no_configuration_has_all_its_seeds(folder: SweepFolder) -> None:
    found = written(folder, [0.5, 0.6], [0.95])
    assert order(found) == [1, 2]
    assert found.ranking == "No configuration has all of its 3 seeds yet; those with more come first."
    assert best_so_far(found) == "best so far: trial 2, mean 55.00%, sd 7.07%, 2 of 3 seeds: k 1, seed 8"


def test_seeds_beyond_the_requested_number_are_left_out(folder: SweepFolder) -> None:
    found = written(folder, [0.5, 0.9, 0.9], [0.6, 0.6, 0.1], repeats=2)
    assert order(found) == [1, 2]
    assert found.best_value == pytest.approx(0.7)
    with contextlib.closing(Ledger(folder.ledger, create=True)) as ledger:
        ledger.meta.repeats = 1
    found = read_summary(folder)
    assert order(found) == [2, 1]
    assert found.best_value == 0.6
    assert [group.mean for group in found.seeds] == pytest.approx([2.3 / 3, 1.3 / 3])  # the seeds table has all of them


def test_configurations_are_counted_and_the_sweep_is_done_with_their_last_seed(folder: SweepFolder) -> None:
    found = written(folder, [0.5, 0.6, 0.7], ["stopped"], [0.8, 0.3], planned=3)
    assert (found.configurations_ended, found.ended, found.whole) == (2, 6, False)
    assert tally(found) == "sweep: 2 of 3 configurations ended   trials: 5 complete, 1 stopped"
    assert found.configurations[1].state == "waiting"
    listed = overview(folder)
    assert (listed["state"], listed["configurations_ended"], listed["repeats"]) == ("unfinished", 2, 3)
    with contextlib.closing(Ledger(folder.ledger, create=True)) as ledger:
        key = run_key(config(3, 9))
        ledger.add_unasked(config(3, 9), key, repeat_of=run_key(config(3, 7)))
        ledger.end_attempt(key, ledger.start_attempt(key), "failed")
    found = read_summary(folder)
    assert found.whole
    assert [each.state for each in found.configurations] == ["complete", "failed", "stopped"]


def test_the_number_of_trials_to_start_includes_the_expected_further_seeds(folder: SweepFolder) -> None:
    assert written(folder, planned=4).to_start(0) == 12
    other = SweepFolder(folder.path.with_name("other"))
    found = written(
        other, [0.5, 0.6], ["stopped"], [None], planned=5
    )  # one of two ended first trials got further seeds
    assert found.to_start(running=1) == pytest.approx(2 * (1 + 0.5 * 2) + 1 + 0.5 * 2)


def test_an_excluded_seed_leaves_its_configuration_with_fewer(folder: SweepFolder) -> None:
    written(folder, [0.9, 0.9], [0.5, 0.5], repeats=2, planned=2)
    with contextlib.closing(Ledger(folder.ledger, create=True)) as ledger:
        ledger.add_request(run_key(config(1, 7)), "exclude", "wrong images")
    found = read_summary(folder)
    assert order(found) == [2, 1]
    assert found.configurations[1].of_seeds() == "1 of 2"
    assert found.whole


def test_the_leaderboard_has_one_line_per_configuration(folder: SweepFolder) -> None:
    found = written(folder, [0.5, 0.6, 0.7], [0.95, None], ["stopped"])
    console = Console(width=160)
    with console.capture() as said:
        print_leaderboard(console, found)
    lines = [line.split() for line in said.get().splitlines()]
    assert lines[2:] == [
        ["trials", "k", "epoch", "mean", "val/accuracy", "sd", "seeds", "state"],
        ["1,", "2,", "3", "1", "2/2", "60.00%", "10.00%", "3", "complete"],
        ["4,", "5", "2", "2/2", "95.00%", "1", "of", "3", "running"],
        ["6", "3", "1/2", "90.00%", "0", "of", "3", "stopped"],
    ]


VALUES = st.floats(0, 1, width=16)
SEEDS = st.lists(st.one_of(VALUES, st.sampled_from(BEGUN), st.none()), max_size=2)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(VALUES, SEEDS), min_size=1, max_size=6))
def test_a_configuration_ranks_higher_only_with_more_seeds_or_a_better_mean_over_the_same_number(
    made: list[tuple[float, list[Seed]]],
) -> None:
    configurations: list[list[Seed]] = [[first, *others] for first, others in made]
    with tempfile.TemporaryDirectory() as place:
        found = written(SweepFolder(Path(place) / "sweep"), *configurations)
    merits = []
    for k in order(found):
        values = [value for value in configurations[k - 1] if isinstance(value, float)]
        merits.append((len(values), fmean(values)))
    assert merits == sorted(merits, reverse=True)
    assert len(merits) == len(configurations)
    assert found.best_value == merits[0][1]
    assert found.best is not None
    best = configurations[order(found)[0] - 1]
    assert found.best.value == max(value for value in best if isinstance(value, float))
