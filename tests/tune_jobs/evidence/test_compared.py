"""Comparison of recorded and replayed values. No training."""

import math

from hypothesis import given
from hypothesis import strategies as st

from tune_jobs.evidence.compared import Compared, compared, first, worst

NUMBERS = st.floats(0, 10)


@given(NUMBERS, st.floats(0, 1))
def test_only_identical_bits_are_equal_for_any_tolerance(value: float, tolerance: float) -> None:
    for other, equal in ((value, True), (math.nextafter(value, 20), False)):
        (pair,) = compared(1, {"val/loss": value}, {"val/loss": other}, tolerance).pairs
        assert (pair.verdict == "equal") is equal


@given(NUMBERS, NUMBERS, st.floats(0, 1), st.floats(0, 1))
def test_a_larger_tolerance_allows_no_less(recorded: float, replayed: float, one: float, two: float) -> None:
    order = ["equal", "within_tolerance", "different"]
    narrow, wide = (
        compared(1, {"val/loss": recorded}, {"val/loss": replayed}, tolerance).verdict
        for tolerance in sorted((one, two))
    )
    assert order.index(wide) <= order.index(narrow)


def test_the_tolerance_is_relative_for_losses_and_absolute_for_accuracies() -> None:
    def verdicts(name: str, replayed: float) -> str:
        return compared(1, {name: 0.2}, {name: replayed}, 0.01).verdict

    assert verdicts("val/accuracy", 0.209) == "within_tolerance"
    assert verdicts("val/loss", 0.209) == "different"
    assert verdicts("val/loss", 0.2019) == "within_tolerance"
    assert verdicts("val/accuracy", 0.211) == "different"


def test_times_memory_and_sizes_are_not_compared_and_missing_values_are_different() -> None:
    recorded = {"epoch_s": 1.0, "images_per_s": 9.0, "gpu_mem_gb": 1.0, "params": 5.0, "val/loss": 0.5}
    assert compared(1, recorded, {"epoch_s": 2.0, "val/loss": 0.5, "test/loss": 1.0}, 0).verdict == "equal"
    (pair,) = compared(1, recorded, {}, 1.0).pairs
    assert (pair.metric, pair.replayed, pair.verdict) == ("val/loss", None, "different")


def test_the_first_difference_is_by_epoch_and_then_in_recorded_order() -> None:
    def epoch(number: int, **replayed: float) -> Compared:
        recorded = {"train/loss": 1.0, "val/loss": 1.0}
        found = {name: replayed.get(name.replace("/", "_"), 1.0) for name in recorded}
        return compared(number, recorded, found, 0.1)

    epochs = [epoch(1), epoch(2, val_loss=1.05), epoch(3, train_loss=1.01, val_loss=3.0)]
    assert [each.verdict for each in epochs] == ["equal", "within_tolerance", "different"]
    assert worst(each.verdict for each in epochs) == "different"
    unequal, different = first(epochs, "within_tolerance", "different"), first(epochs, "different")
    assert unequal is not None
    assert different is not None
    assert (unequal.epoch, unequal.metric) == (2, "val/loss")
    assert (different.epoch, different.metric) == (3, "val/loss")
