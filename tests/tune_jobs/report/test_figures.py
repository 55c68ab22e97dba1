import json

from tests.tune_jobs.report.drawn import Sweep
from tune_jobs.report.data import read_data
from tune_jobs.report.figures import plots_of


def test_every_plot_has_a_unique_key_and_a_note(sweep: Sweep) -> None:
    for number in range(1, 21):
        sweep.trial([number / 20] * 9, "complete", params=7.0, gflops=number / 10)
    plots = plots_of(read_data(sweep.folder, 0, lambda _: None))
    keys = [plot.key for plot in plots]
    assert keys[:3] == ["learning-curves", "parallel-coordinates", "importance"]
    assert keys[-2:] == ["pareto", "stopping"]
    assert {"slice-k", "slice-lr"} <= set(keys)
    assert len(keys) == len(set(keys))
    assert all(plot.note for plot in plots if not plot.key.startswith("slice"))


def test_no_plot_shows_an_excluded_trial(sweep: Sweep) -> None:
    for last in (0.5, 0.96875, 0.25):
        sweep.trial([0.1, last], "complete")
    assert "0.96875" in json.dumps(sweep.figures())
    sweep.ledger.add_request(sweep.ledger.trials()[1].run_key, "exclude", "wrong images")
    figures = sweep.figures()
    assert "0.96875" not in json.dumps(figures)
    assert [line["name"] for line in figures["learning-curves"]["data"]] == ["trial 3", "trial 1"]
