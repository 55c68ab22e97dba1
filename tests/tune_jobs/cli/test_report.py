from pathlib import Path

from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tests.tune_jobs.shipping import Recorded


def test_the_written_files_are_listed(sweep: Recorded, tmp_path: Path) -> None:
    storage = sweep.folder.path.parent
    sweep.attempt([1, 2], "complete")
    assert invoke("report", "tracked", storage=storage).splitlines()[-1] == str(sweep.folder.report)
    page = tmp_path / "page.html"
    told = invoke_json("report", "tracked", "--output", page, "--csv", storage=storage)
    assert told["report"] == str(page)
    assert [Path(path).name for path in told["csv"]] == ["leaderboard.csv", "epochs.csv"]
    assert "</html>" in page.read_text()
