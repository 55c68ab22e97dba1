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
def test_an_accuracy_is_written_in_percent_and_a_loss_as_it_is(value: float | None, metric: str, text: str) -> None:
    assert shown(value, metric) == text


def test_axes_are_labelled_as_values_are_written() -> None:
    assert (ticks("val/accuracy"), hover("val/accuracy")) == ("~%", ".2%")
    assert (ticks("val/loss"), hover("val/loss"), bounds("val/loss")) == ("", ".4f", {})
    axis = value_axis([0.1, 0.9], "val/accuracy")
    assert axis["range"] == [0.1, 0.9]
    assert len(axis["tickvals"]) == len(axis["ticktext"])
    assert all(text.endswith("%") for text in axis["ticktext"])
    assert value_axis([2.0, 2.0], "val/loss") == {"range": [1.5, 2.5], "tickvals": [2.0], "ticktext": ["2.0000"]}
