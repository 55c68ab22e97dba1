"""A real Optuna Dashboard shows a sweep from the journal that `convnn export` writes."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.browser import Browser
from tests.tune_jobs.cli.invoking import invoke
from tests.tune_jobs.report.drawn import made
from tests.tune_jobs.report.hostile import HOSTILE, column, drawn
from tests.tune_jobs.servers import free_port, wait_until_served

START = "import sys; from optuna_dashboard._cli import main; sys.exit(main())"


@contextlib.contextmanager
def dashboard(journal: Path) -> Iterator[str]:
    """Start a dashboard of a journal, and yield its address."""
    port = free_port()
    options = [str(journal), "--host", "127.0.0.1", "--port", str(port), "--server", "wsgiref"]
    with journal.with_suffix(".out").open("wb") as out:
        process = subprocess.Popen([sys.executable, "-c", START, *options], stdout=out, stderr=subprocess.STDOUT)
    try:
        wait_until_served(f"http://127.0.0.1:{port}/api/meta", process)
        yield f"http://127.0.0.1:{port}/dashboard"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with made(tmp_path) as sweep:
        drawn(sweep)
        for name in ("trials", "attempts"):
            column(name, "reason")(sweep, HOSTILE)
        invoke("export", "drawn", "--optuna", tmp_path / "drawn.log", storage=tmp_path)
    with dashboard(tmp_path / "drawn.log") as started:
        yield started


def test_the_dashboard_shows_the_study_and_runs_none_of_its_text(window: Browser, address: str) -> None:
    window.open(address)
    window.sees("drawn")
    window.open(f"{address}/studies/0/trials")
    window.sees("Trial 0", "Trial 6", "Complete", "Pruned", "Fail", "space.training.lr")
    window.picture("optuna-dashboard-trials")
    window.open(f"{address}/studies/0/trials?numbers=4")
    window.sees("Trial 4", "run_key", HOSTILE[:40])
    window.picture("optuna-dashboard-trial")
    assert "ran" not in window.driver.title
