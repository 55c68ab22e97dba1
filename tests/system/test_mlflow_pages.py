"""What a user sees of a sweep in MLflow, in a real browser."""

from pathlib import Path

import pytest

from benchmarks.tracker import NAME as LARGE
from benchmarks.tracker import write_sweep
from search_spaces.headline import HEADLINE
from tests.system.browser import Browser, MlflowPages, axes
from tests.system.ledgers import Shipped
from tests.tune_jobs.servers import MlflowServer, free_port, mlflow_server
from tune_jobs.driver.sync import sync
from tune_jobs.tracking.mlflow.views import COMPLETE


@pytest.fixture
def pages(window: Browser, sweep: Shipped) -> MlflowPages:
    return MlflowPages(window, sweep.uri)


def rows(pages: MlflowPages, number: int) -> list[dict[str, str]]:
    """Return the table once it has this many rows."""

    def whole() -> list[dict[str, str]] | None:
        found = pages.rows()
        return found if len(found) == number else None

    return pages.window.wait(f"{number} rows", whole)


def test_an_experiment_shows_its_sweep_which_opens_to_its_trials(pages: MlflowPages, sweep: Shipped) -> None:
    pages.experiment(sweep.experiment_id)
    (parent,) = rows(pages, 1)
    assert parent["Run Name"] == sweep.name
    pages.window.picture("mlflow-1-experiment")
    pages.window.click(f"//*[@role='gridcell'][.//a[.='{sweep.name}']]//button")
    names = [row["Run Name"] for row in rows(pages, 11)]
    pages.window.picture("mlflow-2-nested-runs")
    assert sorted(names) == sorted([sweep.name, *(run.info.run_name for run in sweep.trials())])


def test_the_view_of_the_trials_has_the_columns_to_compare_best_first(pages: MlflowPages, sweep: Shipped) -> None:
    pages.experiment(sweep.experiment_id)
    pages.window.click("//button[normalize-space()='Views']")
    pages.window.click(
        "//*[@role='menuitem' or @role='option' or @role='menuitemcheckbox'][contains(., 'Complete trials')]"
    )
    found = rows(pages, 10)
    pages.window.picture("mlflow-3-trials")
    trials = {run.info.run_name: run for run in sweep.trials()}
    for row in found:
        run = trials[row["Run Name"]]
        assert {name: row[name] for name in HEADLINE} == {name: run.data.params[name] for name in HEADLINE}
        assert float(row["val/accuracy"]) == pytest.approx(run.data.metrics["val/accuracy"], rel=1e-2)
    values = [float(row["val/accuracy"]) for row in found]
    assert values == sorted(values, reverse=True)


def test_the_view_of_the_trials_opens_by_its_address(pages: MlflowPages, sweep: Shipped) -> None:
    pages.experiment(sweep.experiment_id, COMPLETE)
    assert rows(pages, 10)[0]["Run Name"] == sweep.trials()[0].info.run_name


def test_selected_trials_are_compared_in_parallel_coordinates(pages: MlflowPages, sweep: Shipped) -> None:
    window = pages.window
    pages.experiment(sweep.experiment_id, COMPLETE)
    rows(pages, 10)
    window.click("//*[@role='columnheader']//input[@type='checkbox']/..")
    window.picture("mlflow-4-chosen")
    window.click("//button[normalize-space()='Compare']")
    window.sees("Comparing 10 Runs from 1 Experiment", "Parallel Coordinates Plot")
    window.wait("the plot's axes", lambda: {"lambda", "k", "aggregation"} <= axes(window) or None)
    window.picture("mlflow-5-comparison")


def test_trials_are_compared_by_the_objective_before_any_other_metric(
    window: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("sqlite")
    with mlflow_server(folder, free_port()) as server:  # PostgreSQL returns a run's metrics in any order
        sync(write_sweep(folder, trials=5, epochs=3), server.uri, LARGE, {})
        shipped, pages = Shipped(folder, LARGE, server.uri), MlflowPages(window, server.uri)
        pages.comparison(shipped.experiment_id, [run.info.run_id for run in shipped.trials()])
        shown = window.wait("the plot's axes", lambda: axes(window))
        window.picture("mlflow-13-objective")
        assert shown & shipped.trials()[0].data.metrics.keys() == {"val/accuracy"}


def test_the_charts_of_a_view_start_with_the_objective(pages: MlflowPages, sweep: Shipped) -> None:
    window = pages.window
    pages.experiment(sweep.experiment_id, COMPLETE)
    rows(pages, 10)
    window.click("//input[@name='runs-view-mode'][@value='CHART']/ancestor::label")
    window.sees("Objective: val/accuracy", "Showing all runs", "Model metrics", "epoch_s")
    window.picture("mlflow-14-charts")
    lines = window.text().splitlines()
    first = lines[lines.index("Objective: val/accuracy") : lines.index("Model metrics")]
    assert {"lambda", "lr", "val/accuracy", "Parallel Coordinates", "Step"} <= set(first)
    assert "k" not in first  # MLflow would leave out trials without it
    assert lines.index("Model metrics") < lines.index("epoch_s")


def test_another_metric_of_the_trials_can_be_an_axis(pages: MlflowPages, sweep: Shipped) -> None:
    window = pages.window
    pages.comparison(sweep.experiment_id, [run.info.run_id for run in sweep.trials()])
    window.click("//*[.='Metrics:']/following::input[@role='combobox'][1]/ancestor::*[contains(@class, 'select')][1]")
    window.click("//*[contains(@class, 'select-item-option')][@title='gflops']")
    window.wait("the size's axis", lambda: "gflops" in axes(window) or None)
    window.picture("mlflow-6-size")


def test_a_sweeps_own_run_shows_its_status_and_links_to_its_best_trials(pages: MlflowPages, sweep: Shipped) -> None:
    window, best = pages.window, sweep.trials()[0]
    pages.run(sweep.experiment_id, sweep.parent.info.run_id)
    window.sees("10 of 10 trials have ended without a failure")
    window.picture("mlflow-7-sweep")
    window.click("//a[starts-with(., 'trial ')]")
    window.to_newest_tab()
    window.sees(best.info.run_name, best.info.run_id)
    window.picture("mlflow-8-trial")


def test_a_sweeps_files_are_shown_in_mlflow(pages: MlflowPages, sweep: Shipped) -> None:
    window = pages.window
    pages.run(sweep.experiment_id, sweep.parent.info.run_id, "/artifacts")
    for name, content in (
        ("leaderboard.json", '"state": "complete"'),
        ("manifest.json", '"packages"'),
        ("sweep.yaml", "name: digits-hybrid"),
    ):
        window.click(f"//*[normalize-space()='{name}']")
        window.sees(content)
        window.picture(f"mlflow-9-{name.partition('.')[0]}")


def test_a_sweeps_report_is_shown_in_mlflow_with_its_plots(pages: MlflowPages, sweep: Shipped) -> None:
    window, best = pages.window, sweep.trials()[0]
    pages.run(sweep.experiment_id, sweep.parent.info.run_id, "/artifacts")
    window.click("//*[normalize-space()='report.html']")
    with window.frame():
        window.sees("Leaderboard", "Learning curves", "Parallel coordinates", "How to reproduce")
        window.sees(f"{best.data.metrics['val/accuracy']:.2%}")
        window.wait("plots", lambda: window.all("//*[contains(@class, 'js-plotly-plot')]"))
    window.picture("mlflow-10-report")


def test_a_large_sweep_opens_and_fifty_of_its_trials_are_compared(
    window: Browser, tracker: MlflowServer, tmp_path: Path
) -> None:
    sync(write_sweep(tmp_path, trials=60, epochs=10), tracker.uri, LARGE, {})
    large, pages = Shipped(tmp_path, LARGE, tracker.uri), MlflowPages(window, tracker.uri)
    pages.experiment(large.experiment_id, COMPLETE)
    window.wait("many rows", lambda: len(pages.rows()) > 10)
    window.picture("mlflow-11-many-trials")
    pages.comparison(large.experiment_id, [run.info.run_id for run in large.trials()[:50]])
    window.sees("Comparing 50 Runs")
    window.wait("the plot's axes", lambda: axes(window))
    window.picture("mlflow-12-many-compared")
