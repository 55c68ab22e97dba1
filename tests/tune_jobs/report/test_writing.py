import os
import resource
import subprocess
import sys

import pytest

from tests.tune_jobs.program import convnn, convnn_json
from tests.tune_jobs.report.drawn import Sweep
from tune_jobs.errors import LedgerError, UsageError


def test_the_commands_json_has_the_paths_of_all_files(sweep: Sweep) -> None:
    sweep.trial([0.5], "complete", params=7.0, gflops=0.1)
    place = sweep.folder.path
    told = convnn_json("report", "drawn", "--csv", storage=place.parent)
    csvs = [str(place / name) for name in ("leaderboard.csv", "epochs.csv")]
    assert told.pop("more_trials")["text"].startswith("The gain from 10 more trials can be estimated once 7 more")
    assert told.pop("effects")["complete"] == 1
    assert told == {"sweep": "drawn", "report": str(place / "report.html"), "png": [], "csv": csvs}
    other = place.parent / "elsewhere" / "page.html"
    assert convnn("report", "drawn", "--output", other, storage=place.parent) == f"{other}\n"
    assert other.exists()


def test_a_report_that_cannot_be_written_leaves_the_previous_one(sweep: Sweep) -> None:
    before = sweep.page()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(LedgerError, match=r"report\.html cannot be written: File too large; choose another"):
            sweep.page()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (sweep.folder.path / "report.html").read_text(encoding="utf-8") == before
    assert not list(sweep.folder.path.glob(".report*"))


@pytest.mark.parametrize(("place", "error"), [("drawn", UsageError), ("drawn/sweep.yaml/report.html", LedgerError)])
def test_an_output_that_is_not_a_file_is_refused(sweep: Sweep, place: str, error: type[Exception]) -> None:
    with pytest.raises(error, match="--output"):
        sweep.page(output=sweep.folder.path.parent / place)


def test_a_report_loads_neither_torch_nor_ray_nor_mlflow(sweep: Sweep) -> None:
    sweep.trial([0.5], "complete", params=7.0, gflops=0.1)
    program = (
        "import sys; from pathlib import Path; from tune_jobs import SweepFolder, write_report\n"
        "write_report(SweepFolder(Path(sys.argv[1])), csv=True)\n"
        "print(*({'torch', 'ray', 'mlflow'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, sweep.folder.path], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout == "\n"
