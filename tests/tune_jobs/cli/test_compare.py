"""`convnn compare` on sweeps that exist only in their ledgers, made from the published runs."""

import csv
import re
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tests.tune_jobs.cli.shared.test_outputs import require_as_said
from tests.tune_jobs.evidence.made import configs, recorded, trial, with_training
from tune_jobs.results.recorded.matching import Runs
from tune_jobs.results.recorded.published import published


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete sweep of Table 5, a stopped and better one of Table 2, a small one, and one with a hold-out."""
    place, runs = tmp_path_factory.mktemp("sweeps"), Runs(published())
    whole = [trial(runs, n, config, 150) for n, config in enumerate(configs("table5-cifar10"))]
    early = [trial(runs, n, c, 6, "interrupted", shift=0.2) for n, c in enumerate(configs("table2-cifar10"))]
    small = configs("table5-cifar10", "space.model.depth=2", "space.training.epochs=2")
    recorded(place, "table5-cifar10", whole, "whole")
    recorded(place, "table2-cifar10", early, "early")
    recorded(place, "table5-cifar10", [trial(runs, 1, small[0], 2)], "small")
    recorded(place, "table5-cifar10", whole[:1], "held", ("protocol: paper", "protocol: holdout"))
    slow = [trial(runs, n, with_training(one.config, seed=7), 150, shift=0.01) for n, one in enumerate(whole[1:])]
    recorded(place, "table5-cifar10", slow, "seven")
    return place


def test_the_output_has_ours_theirs_the_difference_and_a_verdict(storage: Path) -> None:
    said = invoke("compare", "whole", storage=storage)
    lines = said.splitlines()
    assert lines[:2] == [
        "whole compared with the published runs (arXiv:2511.14137)",
        "test/accuracy at epoch 150, in percent. Means have the standard deviation of one run and the number of runs.",
    ]
    row = r"aggregation depthwise_separable +71\.93 \(1\) +71\.93 \(1\) +\+0\.00 ± \d\.\d\d  within noise"
    assert re.search(row, said)
    assert "4 compared: " in said
    assert re.search(r"attention +77\.41 \(Table 2, 5\) +77\.64 \(Figure 7, 8\) +ours 77\.64", said)
    for part in (
        "The paper prints the last epoch of one run, truncated:",
        "± half of its 95% interval (pooled t)",
        "0.47 (vit_tiny, cifar10, lr 0.0001, epoch 150; 3 degrees of freedom)",
        "false discovery rate of 5% over all rows (Benjamini and Hochberg)",
    ):
        assert part in said


def test_a_stopped_sweep_is_compared_at_its_epoch(storage: Path) -> None:
    found = invoke_json("compare", "early", storage=storage)
    assert {row["epoch"] for row in found["rows"]} == {6}
    assert {row["verdict"] for row in found["rows"]} == {"different"}
    assert {round(row["difference"]["mean"], 2) for row in found["rows"]} <= {0.19, 0.2, 0.21}  # some have repeats
    said = invoke("compare", "early", storage=storage)
    assert "at epoch 6, in percent; the published runs were longer, and are compared at that epoch" in said
    assert "note: their dropout stayed on when testing: sparse" in said


def test_a_smaller_model_is_not_compared_and_the_reason_is_given(storage: Path) -> None:
    said = invoke("compare", "small", storage=storage)
    assert "no trial can be compared\n" in said
    assert (
        "not compared, trial 1: other sizes of model or data are never compared with the paper: model.depth 2 "
        "(theirs 12)" in said
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["held"], "evaluation.protocol must be paper to compare with the published runs, and held has holdout"),
        (["held", "whole"], "held has holdout and whole has paper, so they tested on different images"),
        (["whole", "seven", "--log"], "need one sweep"),
        (["whole", "--metric", "val/loss"], "--metric must be test/accuracy or test/loss"),
        (["whole", "--csv", "."], "--csv must be a file, and . is a folder; try --csv comparison.csv"),
        (["whole", "whole"], "the sweeps to compare must differ, got whole, whole; leave out the repeated one."),
        (["none"], "there is no sweep 'none'"),
    ],
)
def test_an_impossible_comparison_is_one_message(storage: Path, words: list[str], message: str) -> None:
    assert message in invoke("compare", *words, storage=storage, expect=2)


def test_page_and_table_have_every_row_and_work_offline(storage: Path, tmp_path: Path) -> None:
    page, table = tmp_path / "page.html", tmp_path / "table.csv"
    said = invoke("compare", "whole", "--html", page, "--csv", table, storage=storage)
    assert said.splitlines()[-2:] == [str(page), str(table)]
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["printed_accuracy"] for row in rows] == ["77.41", "73.67", "71.93", "72.9"]
    assert float(rows[0]["theirs"]) == pytest.approx(0.7741, abs=1e-4)
    text = page.read_text()
    assert "Table 5, CIFAR-10" in text
    assert not re.findall(r'(?:src|href)="(?!#)', re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))


def test_sweeps_are_compared_on_the_configurations_that_they_share(storage: Path) -> None:
    said = invoke("compare", "whole", "seven", storage=storage)
    for part in (
        "seven compared with whole: test/accuracy",
        "3 in common, 1 only in the first, 0 only in the second",
        "only in whole: attention",
    ):
        assert part in said
    early = invoke("compare", "whole", "early", storage=storage)
    assert re.search(r"attention +6 +[\d.]+ \(1\) +[\d.]+ \(1\) +\+20\.00", early)
    assert "2 in common, 2 only in the first, 6 only in the second" in early


def of_the_schema(storage: Path, *words: str) -> Any:
    printed = invoke_json("compare", *words, storage=storage)
    require_as_said("compare", printed)
    return printed


def test_the_json_output_matches_its_schema(storage: Path) -> None:
    found = of_the_schema(storage, "whole")
    table = {"item": "Table 2", "row": "Attention", "kind": "row", "x": None, "accuracy": 77.41, "loss": 1.558}
    assert table in found["rows"][0]["printed"]
    assert of_the_schema(storage, "whole", "seven")["pairs"][0]["first"] == "whole"
    assert of_the_schema(storage, "small")["not_comparable"][0]["trials"] == [1]


def test_text_of_a_sweep_is_escaped_in_html(tmp_path: Path) -> None:
    runs = Runs(published())
    name = "a&b<script>"
    folder = recorded(tmp_path, "table5-cifar10", [trial(runs, 1, configs("table5-cifar10")[0], 2)], "plain")
    folder.path.rename(folder.path.with_name(name))
    page = tmp_path / "page.html"
    invoke("compare", name, "--html", page, storage=tmp_path)
    assert "<title>a&amp;b&lt;script&gt; and the paper</title>" in page.read_text()
    assert name not in page.read_text()


def test_page_and_table_are_saved_in_the_mlflow_run_of_the_sweep(tmp_path: Path, uri: str) -> None:
    runs = Runs(published())
    trials = [trial(runs, n, config, 1) for n, config in enumerate(configs("table5-cifar10"))]
    tracking = f"evaluation: {{protocol: paper}}\ntracking: {{uri: '{uri}', experiment: compared}}"
    folder = recorded(tmp_path, "table5-cifar10", trials, "logged", ("evaluation: {protocol: paper}", tracking))
    invoke("compare", "logged", "--log", storage=tmp_path)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("compared")
    assert experiment is not None
    (parent,) = client.search_runs([experiment.experiment_id], "tags.run_key = 'sweep'")
    files = {each.path for each in client.list_artifacts(parent.info.run_id)}
    assert {"comparison.html", "comparison.csv"} <= files

    def kept() -> str:
        return Path(client.download_artifacts(parent.info.run_id, "comparison.csv")).read_text()

    first = kept()
    assert first == folder.comparison_table.read_text()
    invoke("compare", "logged", "--log", "--metric", "test/loss", storage=tmp_path)
    assert first != kept() == folder.comparison_table.read_text()
