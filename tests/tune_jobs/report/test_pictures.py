import pytest

from tests.tune_jobs.report.drawn import Sweep
from tune_jobs.errors import UsageError


def test_without_a_browser_pictures_are_refused_in_one_line(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROWSER_PATH", "/nowhere/chrome")
    with pytest.raises(UsageError, match=r"^--png needs Chrome or Chromium, .*apt-get install chromium.*$"):
        sweep.page(png=True)
    assert not (sweep.folder.path / "report.html").exists()
