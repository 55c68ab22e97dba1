"""The configurations that plots compare."""

from dataclasses import replace

from tests.tune_jobs.report.made import pool, summed
from tune_jobs.report.points import DRAWN, groups_of, points_of, thinned
from tune_jobs.results.row import Row

POOL = pool(8)


def seeded(row: Row, number: int, repeat: int, value: float, **changes: object) -> Row:
    """Return another seed of a configuration."""
    training = row.config.training.model_copy(update={"seed": repeat})
    config = row.config.model_copy(update={"training": training})
    new = replace(row, number=number, run_key=f"{row.run_key}-{repeat}", repeat=repeat, value=value, config=config)
    return replace(new, repeat_of=f"{row.run_key}-0" if repeat else None, **changes)  # type: ignore[arg-type]


def test_a_configuration_is_the_mean_of_its_seeds_and_only_equal_numbers_of_seeds_are_compared() -> None:
    a, b, c, d = POOL[:4]
    rows = [
        *(seeded(a, 1 + i, i, value) for i, value in enumerate((0.5, 0.6, 0.7))),
        *(seeded(b, 4 + i, i, value) for i, value in enumerate((0.9, 0.7, 0.8))),
        seeded(c, 7, 0, 0.99),
        seeded(d, 8, 0, 0.4, state="stopped"),
    ]
    found = points_of(summed(rows, repeats=3))
    assert [round(point.value, 9) for point in found.complete] == [0.8, 0.6]
    assert found.complete[0].trials == "trials 4, 5, 6"
    assert [point.value for point in found.fewer] == [0.99]  # one lucky seed is not compared with means
    assert [point.value for point in found.early] == [0.4]
    assert "means over 3 seeds. 1 with a different number of seeds" in found.note
    assert [name for name, *_ in groups_of(found)] == ["not run to the end", "different number of seeds", "complete"]


def test_seeds_that_the_space_varies_are_means_too() -> None:
    rows = [replace(seeded(POOL[0], i, i, value), repeat_of=None) for i, value in ((1, 0.5), (2, 0.7))]
    (point,) = points_of(summed(rows)).complete
    assert point.value == 0.6


def test_diverged_and_excluded_trials_are_not_points() -> None:
    rows = [replace(POOL[0], state="diverged"), replace(POOL[1], excluded="why"), replace(POOL[2], value=None)]
    assert points_of(summed(rows)).everything == []


def test_many_points_are_thinned_to_the_best_and_a_sample() -> None:
    drawn = thinned(list(range(5 * DRAWN)))
    assert len(drawn) == len(set(drawn)) == DRAWN
    assert drawn == sorted(drawn)
    assert drawn[: DRAWN // 2] == list(range(DRAWN // 2))
    assert drawn[-1] > 4.9 * DRAWN
    assert thinned([1, 2]) == [1, 2]
