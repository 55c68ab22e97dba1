"""What recorded sweeps say about a new one."""

import json
from functools import cache
from importlib.resources import files

import numpy as np
import pytest

from benchmarks.families import EPOCHS, Table
from benchmarks.played import loop_stops, simulated_stops
from benchmarks.prior import packaged, summary
from benchmarks.stopping import course, finals, never, regrets
from benchmarks.unseen import deceiving
from tune_jobs.results.recorded.published import published
from tune_jobs.search.pruners.curves import FIRST, FIRST_KNOWN, AutoRule
from tune_jobs.search.pruners.prior import COMPARED, early_numbers, recorded_sweeps, resemblance


@cache
def tables() -> dict[str, Table]:
    return {name: table for name, _, table in packaged()}


def first_eight(table: Table, seed: int) -> tuple[np.ndarray, np.ndarray]:
    chosen = np.random.default_rng(seed).permutation(len(table.values))[:COMPARED]
    assert table.losses is not None
    return table.values[chosen, : EPOCHS // 10], -np.log(table.losses[chosen, : EPOCHS // 10])


def stops_of(table: Table, rule: AutoRule, most: int = 1600) -> list[tuple[int, int]]:
    stops: list[tuple[int, int]] = []
    course(table, np.random.default_rng(1).permutation(len(table.values)).tolist(), rule, stops, most)
    return stops


def test_the_packaged_file_is_what_the_script_writes() -> None:
    found = json.loads(files("tune_jobs.search.pruners").joinpath("prior.json").read_text())
    assert found.keys() == tables().keys()
    made = summary(tables()["vit cifar10"])
    for field, values in found["vit cifar10"].items():
        np.testing.assert_allclose(values, made[field], atol=0.0015)


@pytest.mark.parametrize("name", ["vgg cifar100", "vit cifar10", "vit cifar100"])
def test_a_sweep_resembles_most_a_sweep_of_the_same_model_on_other_data(name: str) -> None:
    others = tuple(sweep for sweep in recorded_sweeps() if sweep.name != name)
    own = np.array([sweep.name.split(maxsplit=1)[0] == name.split(maxsplit=1)[0] for sweep in others])
    right = 0
    for seed in range(40):
        numbers = early_numbers(*first_eight(tables()[name], seed))
        assert numbers is not None
        right += resemblance(numbers, others)[own].sum() > 0.5
    assert right >= 32


def test_the_scale_of_values_does_not_matter() -> None:
    values, losses = first_eight(tables()["vgg cifar100"], 0)
    one, other = early_numbers(values, losses), early_numbers(values / 100, losses)
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(one, other)


def test_a_sweep_far_from_all_resembles_none_and_nothing_is_ever_certain() -> None:
    sweeps = recorded_sweeps()
    assert resemblance(sweeps[0].numbers + 8, sweeps).sum() < 0.05
    assert resemblance(sweeps[0].numbers, sweeps).sum() < 0.96


@pytest.mark.parametrize("broken", ["no losses", "below zero", "not a number", "few epochs"])
def test_unusable_values_give_no_numbers(broken: str) -> None:
    values, losses = first_eight(tables()["vgg cifar10"], 0)
    if broken == "no losses":
        losses = np.zeros_like(losses)
    elif broken == "few epochs":
        values, losses = values[:, :3], losses[:, :3]
    else:
        values = values.copy()
        values[3, 4] = -1 if broken == "below zero" else np.nan
    assert early_numbers(values, losses) is None


def test_settled_recorded_sweeps_allow_stops_before_eight_are_complete() -> None:
    table = tables()["vgg cifar100"]
    others = tuple(sweep for sweep in recorded_sweeps() if sweep.name != "vgg cifar100")
    eight = FIRST * EPOCHS
    assert stops_of(table, AutoRule(EPOCHS, maximize=True, prior=others), eight)
    assert not stops_of(table, AutoRule(EPOCHS, maximize=True), eight)
    assert not stops_of(table, AutoRule(EPOCHS, maximize=True, prior=others), FIRST_KNOWN * EPOCHS)


def test_unsettled_recorded_sweeps_keep_the_first_eight_running() -> None:
    others = tuple(sweep for sweep in recorded_sweeps() if sweep.name != "vit cifar10")
    assert not stops_of(tables()["vit cifar10"], AutoRule(EPOCHS, maximize=True, prior=others), FIRST * EPOCHS)


def test_a_sweep_that_only_starts_like_settled_ones_loses_little() -> None:
    lost = []
    for seed in range(6):
        table = deceiving(seed, tables()["vgg cifar100"], turned=True)
        order = list(range(len(table.values)))
        own = regrets(table, order, AutoRule(EPOCHS, maximize=True, prior=recorded_sweeps()))
        lost.append(np.subtract(own, never(table, order)) / finals(table).std())
    assert np.mean(lost, axis=0).max() < 0.2


def test_a_minimized_objective_has_no_prior() -> None:
    table = tables()["vgg cifar10"]
    assert table.losses is not None
    rules = [AutoRule(EPOCHS, maximize=False, prior=prior) for prior in (recorded_sweeps(), ())]
    assert stops_of(table, rules[0], 1000) == stops_of(table, rules[1], 1000)


@pytest.mark.parametrize("prior", ["recorded", "none"])
def test_the_bare_loop_stops_what_a_simulated_sweep_stops(prior: str) -> None:
    assert prior in ("recorded", "none")
    table = published().where(["data.name=cifar100", "model.name=vgg11"])
    order, stops = simulated_stops(table, 1, prior, 1500)  # type: ignore[arg-type]
    assert stops == loop_stops(table, order, prior, 1500)  # type: ignore[arg-type]
    assert stops
