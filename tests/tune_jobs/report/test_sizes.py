import re

from tests.tune_jobs.report.drawn import Sweep, words
from tune_jobs.report import write_report


def test_models_of_unrecorded_size_are_measured(sweep: Sweep) -> None:
    sweep.trial([0.5], "complete")
    page = write_report(sweep.folder, measure_s=5).report.read_text(encoding="utf-8")
    assert re.search(r" 0\.\d+ 1\d\d,\d{3},\d{3} ", words(page))
