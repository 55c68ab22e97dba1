from pathlib import Path

import pytest

from tests.tune_jobs.cli.invoking import invoke, invoke_json

QUICK = ("--repeats", "2", "--budgets", "2,4", "--rules", "none,best:10/2")


def test_the_output_names_the_runs_and_has_a_table_and_a_plot(tmp_path: Path) -> None:
    page = tmp_path / "regret.html"
    said = invoke("simulate", "figure8-cifar10", *QUICK, "--output", page, storage=tmp_path)
    for part in (
        "published: 1,286 runs (the published runs of arXiv:2511.14137, (c) Mingi Kang, MIT licence)",
        "space: 24 of 24 configurations have a recorded run",
        "150 epochs per trial, 4 trials at a time, 2 repeats; unit of budgets: the epochs of a full trial",
        "best test/accuracy: 79.70%",
        "regret at 2",
        "regret in points",
        "simulating none, best:10/2: 2 times each ...",
    ):
        assert part in said
    assert [line.split()[0] for line in said.splitlines() if line.startswith(("none", "best:"))] == [
        "none",
        "best:10/2",
    ]
    drawn = page.read_text()
    assert "best:10" in drawn
    assert "<script src" not in drawn  # it works offline


def test_without_a_file_the_recorded_runs_are_the_space(tmp_path: Path) -> None:
    words = ("simulate", "--where", "model.name=vit_tiny", "--where", "data.name=cifar100", "--epochs", "100", *QUICK)
    found = invoke_json(*words, storage=tmp_path)
    assert (found["table"]["runs"], found["space"], found["epochs"]) == (86, None, 100)
    assert [(one["rule"], one["budget"]) for one in found["results"]] == [
        ("none", 2),
        ("none", 4),
        ("best:10/2", 2),
        ("best:10/2", 4),
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "search.trials=3"], "--set changes a sweep file, and none is given; add FILE."),
        (["table2-cifar10", "--epochs", "3"], "--epochs and --metric cannot be combined with FILE"),
        (["--from", "a", "--table", "b", "c"], "--from and --table both give the recorded runs"),
        (["quickstart"], "no configuration of the space has a recorded run"),
        (
            ["--where", "model.name=vit_tiny", "--where", "data.name=cifar10", "--epochs", "200"],
            "the longest has 150; use --epochs 150",
        ),
    ],
)
def test_an_impossible_simulation_is_one_message(tmp_path: Path, words: list[str], message: str) -> None:
    assert message in invoke("simulate", *words, storage=tmp_path, expect=2)
