"""A report's plots as PNG, drawn by a real browser."""

from PIL import Image

from tests.system.ledgers import Shipped
from tests.tune_jobs.program import convnn_json

PLOTS = {"accuracy-against-gflops", "learning-curves", "parallel-coordinates", "slices"}


def test_each_plot_is_a_picture_with_something_on_it(sweep: Shipped) -> None:
    paths = convnn_json("report", sweep.folder.name, "--png", storage=sweep.folder.path.parent)["png"]
    assert len(paths) >= len(PLOTS)
    for path in paths:
        with Image.open(path) as picture:
            assert picture.width >= 1000
            colors = picture.convert("RGB").getcolors(maxcolors=2**24)
            assert colors is not None
            background = max(count for count, _ in colors)
            assert len(colors) > 10
            assert background < picture.width * picture.height
