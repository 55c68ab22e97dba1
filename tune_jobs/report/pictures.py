"""The plots as PNG, drawn by a local Chrome or Chromium."""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tune_jobs.errors import UsageError
from tune_jobs.report import theme
from tune_jobs.report.plots import for_plotly

if TYPE_CHECKING:
    from tune_jobs.report.plots import Plot

WIDTH = 1000
SCALE = 2
_WAY_OUT = (
    "--png needs Chrome or Chromium, but {}; install one (Debian: apt-get install chromium), or set BROWSER_PATH to "
    "it; the HTML page does not need one."
)


def need_browser() -> None:
    """Raise if no browser is available.

    Raises:
        UsageError: If no browser is found; the message says how to fix it.
    """
    from choreographer.browsers.chromium import Chromium

    named = os.environ.get("BROWSER_PATH")
    if named is not None and not Path(named).is_file():
        raise UsageError(_WAY_OUT.format(f"BROWSER_PATH names {named}, which does not exist"))
    if named is None and Chromium.find_browser(skip_local=False) is None:
        raise UsageError(_WAY_OUT.format("none was found"))


def pictures(plots: "list[Plot]") -> dict[str, bytes]:
    """Return the PNG of each plot, by its key.

    Raises:
        UsageError: If the browser does not start.
    """
    import plotly.io

    keys = [plot.key for plot in plots if plot.figure is not None]
    figures = [for_plotly(plot.figure) for plot in plots if plot.figure is not None]
    for figure in figures:
        figure["layout"]["template"] = theme.PRINTED
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.png" for number in range(len(keys))]
        try:
            plotly.io.write_images(
                figures,
                paths,
                width=[max(WIDTH, plot.width) for plot in plots if plot.figure is not None],
                height=[figure["layout"]["height"] for figure in figures],
                scale=SCALE,
            )
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UsageError(_WAY_OUT.format(f"the browser here cannot draw ({reason})")) from error
        return {key: path.read_bytes() for key, path in zip(keys, paths, strict=True)}
