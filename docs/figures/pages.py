"""Take screenshots of a finished sweep's report and MLflow pages, on wide and narrow screens, in light and dark mode.

convnn run quickstart
PYTHONPATH=. python docs/figures/pages.py ~/convnn-sweeps/quickstart

README.md uses `report-1400-light.png` and `charts-1400-light.png`. A second argument sets the folder for the pictures.
It needs chromium (`apt-get install chromium chromium-driver`) and a sweep whose tracker is an SQLite store.
"""

import io
import sys
import tempfile
import time
from base64 import b64decode
from contextlib import closing
from functools import partial
from pathlib import Path

from PIL import Image

from tests.system.browser import Browser, MlflowPages, browser
from tests.tune_jobs.servers import free_port, mlflow_server
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.tracking.mlflow.views import ALL

HERE = Path(__file__).parent
SCREENS = {1400: 900, 390: 844}
"""Height by width, in pixels. The wide one comes first, because MLflow's assistant can be closed there."""

CHARTS = "//input[@name='runs-view-mode'][@value='CHART']/ancestor::label"
SETTLED_S = 3.0
"""Time for animations of the plots to finish."""


def see_as(window: Browser, width: int, scheme: str) -> None:
    """Emulate a screen of this width with the color scheme `light` or `dark`."""
    size = {"width": width, "height": SCREENS[width], "deviceScaleFactor": 1, "mobile": False}
    preferred = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    window.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    window.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", preferred)


def keep(window: Browser, path: Path) -> None:
    """Save a screenshot in 256 colors; kmeans keeps the colors of thin lines distinct."""
    time.sleep(SETTLED_S)
    content = b64decode(window.driver.execute_cdp_cmd("Page.captureScreenshot", {})["data"])
    seen = Image.open(io.BytesIO(content)).convert("RGB")
    seen.quantize(256, kmeans=1, dither=Image.Dither.NONE).save(path, optimize=True)


def report(window: Browser, folder: SweepFolder) -> None:
    """Open the sweep's report."""
    window.open(folder.report.as_uri())
    window.wait("all drawn", lambda: window.driver.execute_script("return document.documentElement.dataset.drawn"))


def trials(window: Browser, pages: MlflowPages, experiment_id: str) -> None:
    """Open MLflow's view of all trials."""
    pages.experiment(experiment_id, ALL)
    window.wait("trials", pages.rows)


def charts(window: Browser, pages: MlflowPages, experiment_id: str) -> None:
    """Open the chart view of all trials."""
    trials(window, pages, experiment_id)
    window.click(CHARTS)
    window.sees("Parallel Coordinates")


def main() -> None:
    """Take all screenshots."""
    folder = SweepFolder(Path(sys.argv[1]).expanduser().absolute())
    into = Path(sys.argv[2]) if len(sys.argv) > 2 else HERE  # noqa: PLR2004 - the script, the sweep, the folder
    with closing(Ledger(folder.ledger)) as ledger:
        store, number = ledger.meta.tracker, ledger.meta.tracker_experiment_id
    if store is None or number is None or not store.startswith("sqlite:"):
        raise SystemExit(f"{folder.path} has no local MLflow store; run the sweep without tracking.uri.")
    with tempfile.TemporaryDirectory() as made, mlflow_server(Path(made), free_port(), store) as server:
        for scheme in ("light", "dark"):
            with browser(Path(made)) as window:  # MLflow remembers the first color scheme
                pages = MlflowPages(window, server.uri)
                draw = {
                    "report": partial(report, window, folder),
                    "trials": partial(trials, window, pages, number),
                    "charts": partial(charts, window, pages, number),
                }
                for width in SCREENS:
                    see_as(window, width, scheme)
                    for name, opened in draw.items():
                        if (name, width) != ("charts", min(SCREENS)):  # MLflow has no room for charts there
                            opened()
                            keep(window, into / f"{name}-{width}-{scheme}.png")


if __name__ == "__main__":
    main()
