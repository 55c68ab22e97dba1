"""`convnn ui`: two sweeps that ran concurrently with one store, as a user compares them in a browser."""

import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.driving import Driver, environment, wait_for
from tests.faults.sweeps import SHORT_GRID
from tests.system.browser import Browser, MlflowPages
from tests.system.ledgers import begin, end
from tests.tune_jobs.servers import free_port
from tune_jobs.cli.ui import _page
from tune_jobs.record.folder import SweepFolder
from tune_jobs.system.processes import lives
from tune_jobs.tracking.mlflow.views import overview_page

SHORT = SHORT_GRID.but(space__training__epochs=4, resources={"max_concurrent": 1})
SWEEPS = [SHORT, SHORT.but(name="other", space__training__seed=7)]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sweeps that started at the same time in a new folder."""
    folder = tmp_path_factory.mktemp("storage") / "my sweeps"
    folder.mkdir()
    for driver in [begin(folder, sweep, "") for sweep in SWEEPS]:
        end(driver)
    return folder


@dataclass
class Shown:
    """A running `convnn ui` of both sweeps, and the page that it opens."""

    driver: Driver
    page: str
    storage: Path

    @property
    def server(self) -> str:
        """The address of MLflow."""
        return self.page.partition("/#")[0]

    def page_of(self, name: str) -> str:
        """Return the page that `convnn ui` opens for one sweep."""
        return _page(self.server, [SweepFolder(self.storage / name)], overview=False)


@pytest.fixture(scope="module")
def shown(storage: Path) -> Iterator[Shown]:
    """The server for both sweeps, which the last test ends."""
    known, port = environment(storage, storage.parent), free_port()
    driver = Driver(
        ("ui", *(sweep.name for sweep in SWEEPS), "--no-browser", "--port", port), storage.parent / "ui.txt", known
    )
    try:
        wait_for(lambda: "Press Ctrl-C to stop." in driver.output, "MLflow is served")
        page = next(line for line in driver.output.splitlines() if line.startswith("http"))
        assert page.startswith(f"http://127.0.0.1:{port}/#/")
        yield Shown(driver, page, storage)
    finally:
        driver.signal(signal.SIGINT)
        driver.end(0)
        driver.reap()


def names(window: Browser, shown: Shown, number: int) -> list[str]:
    """Return the names of the runs in the table, once it has this many."""
    pages = MlflowPages(window, shown.server)

    def whole() -> list[str] | None:
        found = [row["Run Name"] for row in pages.rows()]
        return found if len(found) == number else None

    return window.wait(f"{number} rows", whole)


def test_two_sweeps_are_compared_in_one_table(window: Browser, shown: Shown) -> None:
    window.open(shown.page)
    found = names(window, shown, 4)
    window.picture("ui-two-sweeps")
    assert "Displaying Runs from 2 Experiments" in window.text()
    assert len(set(found)) == 2  # the same two configurations twice


def test_one_sweep_opens_on_its_complete_trials(window: Browser, shown: Shown) -> None:
    window.open(shown.page_of("other"))
    names(window, shown, 2)
    window.picture("ui-one-sweep")


def test_all_sweeps_are_listed_and_ctrl_c_leaves_no_server(window: Browser, shown: Shown) -> None:
    window.open(overview_page(shown.server))
    window.sees(*(sweep.name for sweep in SWEEPS))
    window.picture("ui-all-sweeps")
    command = ["pgrep", "-f", f"mlflow server .* --port {shown.server.rpartition(':')[2]}"]
    pids = [int(pid) for pid in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()]
    shown.driver.signal(signal.SIGINT)
    shown.driver.end(0)
    wait_for(lambda: not any(lives(pid) for pid in pids), "the server ends")
