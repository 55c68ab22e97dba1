from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.tune_jobs.report.made import pool
from tune_jobs.report.epochs import Curve
from tune_jobs.report.lines import evenly, lines_of, spread_of
from tune_jobs.results.row import Row

LR = pool(3)


def with_seed(row: Row, seed: int) -> Row:
    config = row.config.model_copy(update={"training": row.config.training.model_copy(update={"seed": seed})})
    return replace(row, config=config, number=row.number + 100 * seed, run_key=f"{row.run_key}-{seed}")


def curve(*values: float, first: int = 1) -> Curve:
    return Curve(np.arange(first, first + len(values)), np.array(values))


def test_seeds_of_a_configuration_are_one_line_with_their_range() -> None:
    one, other = LR[:2]
    rows = [one, with_seed(one, 1), with_seed(one, 2), other]
    curves = dict(zip((row.run_key for row in rows), map(curve, (0.1, 0.2, 0.6, 0.5), (0.4,) * 4), strict=True))
    mean, alone = lines_of(rows, curves)
    np.testing.assert_allclose([mean.low, mean.curve.values, mean.high], [[0.1, 0.4], [0.3, 0.4], [0.6, 0.4]])
    assert [row.number for row in mean.rows] == [1, 101, 201]
    assert (mean.several, alone.several, alone.rows) == (True, False, [other])


def test_a_seed_that_ended_early_does_not_affect_the_mean() -> None:
    rows = [with_seed(LR[0], seed) for seed in range(3)]
    curves = {rows[0].run_key: curve(0.5, 0.6), rows[1].run_key: curve(0.1), rows[2].run_key: curve(0.7, 0.8)}
    (line,) = lines_of(rows, curves)
    assert [row.run_key for row in line.rows] == [rows[0].run_key, rows[2].run_key]
    np.testing.assert_allclose(line.curve.values, [0.6, 0.7])


def test_an_epoch_without_a_value_is_left_out() -> None:
    rows = [LR[0], with_seed(LR[0], 1), LR[1]]
    curves = {rows[0].run_key: curve(0.1, np.nan, 0.3), rows[1].run_key: curve(0.2, 0.9, 0.5), "key2": curve(np.inf)}
    (line,) = lines_of(rows, curves)
    assert line.curve.epochs.tolist() == [1, 3]
    np.testing.assert_allclose(line.curve.values, [0.15, 0.4])


@given(st.lists(st.integers(1, 7), min_size=1, max_size=9), st.integers(1, 9))
def test_the_band_has_the_quantiles_at_each_epoch(lengths: list[int], most: int) -> None:
    rng = np.random.default_rng(0)
    values = [rng.random(length) for length in lengths]
    rows = [replace(LR[0], run_key=str(number), number=number) for number in range(len(values))]
    lines = [
        line for row, each in zip(rows, values, strict=True) for line in lines_of([row], {row.run_key: curve(*each)})
    ]
    epochs, (low, middle) = spread_of(lines, most, (0.1, 0.5))
    assert len(epochs) == min(most, max(lengths))
    assert most == 1 or epochs[-1] == max(lengths)
    for at, epoch in enumerate(epochs):
        there = [each[epoch - 1] for each in values if len(each) >= epoch]
        np.testing.assert_allclose([low[at], middle[at]], np.quantile(there, [0.1, 0.5]))


@given(st.integers(1, 500), st.integers(2, 60))
def test_a_sample_has_the_first_and_the_last_and_no_duplicates(items: int, most: int) -> None:
    found = evenly(range(items), most)
    assert len(set(found)) == min(items, most)
    assert (found[0], found[-1]) == (0, items - 1)
    assert found == sorted(found)


def test_a_long_curve_keeps_its_ends() -> None:
    (line,) = lines_of([LR[0]], {"key1": curve(*np.arange(1000.0))})
    short = line.thinned(300)
    assert len(short.curve) == len(short.low) == len(short.high) == 300
    assert (short.curve.values[0], short.curve.values[-1]) == (0.0, 999.0)
