"""A report's plots as PNG, drawn by a real browser."""

from colorsys import rgb_to_hsv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from tests.system.ledgers import Shipped
from tests.tune_jobs.program import convnn_json
from tune_jobs.report import theme

FEWEST = 200
"""Minimum number of pixels of a color; fewer may be the edge of something else."""

DATA = {
    "learning-curves": [theme.COLORS[0], theme.BEST],
    "parallel-coordinates": [str(theme.RISING[-1][1])],
    "slice-lambda": [theme.COLORS[0]],
    "slice-k": [theme.COLORS[0]],
    "slice-lr": [theme.COLORS[0]],
    "pareto": [theme.COLORS[0], theme.BEST],
}
"""By a plot's key, colors that only its data has."""


@pytest.fixture(scope="module")
def drawn(sweep: Shipped) -> dict[str, Path]:
    """Return the pictures, by the key of their plot."""
    report = convnn_json("report", sweep.folder.name, "--png", storage=sweep.folder.path.parent)
    stem = Path(report["report"]).stem
    return {Path(path).stem.removeprefix(f"{stem}-"): Path(path) for path in report["png"]}


def pixels(picture: Image.Image, color: str) -> int:
    """Count the pixels of a color, opaque or transparent; text of the same hue is too dark or too grey to count."""
    hue, saturation, value = np.moveaxis(np.asarray(picture.convert("RGB").convert("HSV"), int), 2, 0)
    wanted = 255 * rgb_to_hsv(*(part / 255 for part in ImageColor.getrgb(color)))[0]
    return int(((abs(hue - wanted) <= 4) & (saturation >= 40) & (value >= 150)).sum())


def test_each_plot_with_data_has_a_picture(drawn: dict[str, Path]) -> None:
    assert drawn.keys() >= DATA.keys()
    others = drawn.keys() - DATA.keys()
    assert "importance" in others  # ten trials; all bars may be grey
    assert all(key.startswith("slice-") for key in others - {"importance"})


@pytest.mark.parametrize("key", DATA)
def test_a_picture_shows_its_data(drawn: dict[str, Path], key: str) -> None:
    with Image.open(drawn[key]) as picture:
        assert picture.width >= 1000
        assert all(pixels(picture, color) >= FEWEST for color in DATA[key])
