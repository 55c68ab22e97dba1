import math

import pytest

from tune_jobs.report.metrics import bounds, hover, ticks, value_axis
from tune_jobs.results.words import shown


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [
        (0.5, "val/accuracy", "50.00%"),
        (0.5, "val/loss", "0.5000"),
        (None, "val/loss", "-"),
        (math.nan, "val/accuracy", "nan"),
    ],
)
def test_accuracy_is_in_percent_and_loss_is_not(value: float | None, metric: str, text: str) -> None:
    assert shown(value, metric) == text


def test_axis_labels_have_the_format_of_values() -> None:
    assert (ticks("val/accuracy"), hover("val/accuracy")) == ("~%", ".2%")
    assert (ticks("val/loss"), hover("val/loss"), bounds("val/loss")) == ("", ".4f", {})
    assert value_axis([0.9, 0.1], "val/accuracy") == {"range": [0.1, 0.9], "tickformat": ".1%"}
    assert value_axis([2.0, 2.0], "val/loss") == {"range": [1.5, 2.5], "tickformat": ".4~g"}
