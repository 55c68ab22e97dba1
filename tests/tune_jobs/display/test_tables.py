import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from search_spaces import TrialConfig
from search_spaces.domains import Scalar
from tune_jobs.display.console import TextConsole
from tune_jobs.display.tables import best_so_far, cell, cost, over_seeds, print_leaderboard, tally
from tune_jobs.errors import UsageError
from tune_jobs.failures import Failure
from tune_jobs.record.rows import Usage
from tune_jobs.results.columns import chosen
from tune_jobs.results.row import Row
from tune_jobs.results.summary import Summary


def config(**layer: Any) -> TrialConfig:
    model = {"name": "vgg11", "layer": {"kind": "hybrid", "lambda": 0.25, "k": 4, **layer}}
    return TrialConfig.model_validate({"model": model, "training": {"epochs": 5}})


def row(number: int, state: str = "complete", value: float | None = 0.5, failure: Failure | None = None) -> Row:
    return Row(number, f"key{number}", state, None, failure, 5, value, {}, config())


def sweep(*rows: Row, **changes: Any) -> Summary:
    found = Summary("mine", "val/accuracy", "maximize", 9, Usage(0, 0, 0, 0), {}, None, list(rows))
    return replace(found, **changes)


def lines(found: Summary, most: int | None = None, width: int = 160, columns: str | None = None) -> list[str]:
    console = Console(width=width)
    picked = None if columns is None else chosen(columns, [row.config for row in found.rows])
    with console.capture() as said:
        print_leaderboard(console, found, most, picked)
    return said.get().splitlines()


def varied(number: int, **training: Any) -> Row:
    changed = config().model_dump(by_alias=True) | {"training": {"epochs": 5, **training}}
    return replace(row(number), config=TrialConfig.model_validate(changed))


def test_trials_are_counted_by_state_and_failures_by_class() -> None:
    rows = [row(1), row(2, "running"), row(3, "failed", None, "oom"), row(4, "diverged", None, "diverged")]
    said = "mine: 3 of 9 trials ended   1 running, 1 complete, 1 diverged, 1 failed (1 oom)"
    assert tally(sweep(*rows)) == said
    assert tally(sweep(row(1), planned=None)) == "mine: 1 trial ended   1 complete"


def test_used_resources_are_shown_with_their_limits() -> None:
    assert cost(sweep()) == "used: nothing yet"
    used = sweep(used=Usage(0.0, 1.5, 0.25, 4), budget={"gpu_hours": 8.0, "trials": 20})
    assert cost(used) == "used: 0 s of 8 h GPU time, 1 h 30 min CPU time, 15 min running time, 4 of 20 trials started"


COMMON = (
    "all trials: model vgg11, kind hybrid, lambda 0.25, k 4, p 1, aggregation standard, lr 0.0001, candidates all, "
    "epochs 5"
)


def test_the_leaderboard_has_a_column_per_varying_field_and_names_the_others_once() -> None:
    alike = lines(sweep(row(1), row(2, "running", None)))
    assert alike[0] == COMMON
    assert [line.split() for line in alike[1:]] == [
        ["trial", "epoch", "val/accuracy", "state"],
        ["1", "5/5", "50.00%", "complete"],
        ["2", "5/5", "running"],
    ]
    other = replace(row(2), config=config(aggregation="depthwise"))
    found = lines(sweep(row(1), other))
    assert found[0] == COMMON.replace(", aggregation standard", "")
    assert found[1].split() == ["trial", "aggregation", "epoch", "val/accuracy", "state"]


@pytest.mark.parametrize("field", ["weight_decay", "seed"])
def test_any_varying_field_has_a_column(field: str) -> None:
    found = lines(sweep(varied(1, **{field: 0}), varied(2, **{field: 1})))
    assert found[1].split()[1] == field
    assert [line.split()[1] for line in found[2:]] == ["0", "1"]


def test_a_field_that_other_trials_vary_has_a_column_from_the_start() -> None:
    assert "k" in lines(sweep(row(1), beside=[config(k=9)]))[1].split()


def test_a_narrow_terminal_keeps_the_value_and_names_the_columns_that_do_not_fit() -> None:
    rows = [varied(1), varied(2, lr=0.5, weight_decay=0.25, clip_norm=2.0, label_smoothing=0.125, batch_size=64)]
    wide, narrow = lines(sweep(*rows)), lines(sweep(*rows), width=60)
    assert len(wide[1].split()) == 9
    table = narrow[next(i for i, line in enumerate(narrow) if line.startswith("trial")) :]
    assert table[0].split()[-3:] == ["epoch", "val/accuracy", "state"]
    assert table[1].split()[-2:] == ["50.00%", "complete"]
    assert all(len(line) <= 60 for line in narrow)
    left_out = " ".join(table[3:])
    shown = set(table[0].split())
    assert all((name in left_out) != (name in shown) for name in wide[1].split())
    assert "--columns" in left_out


def test_the_user_can_choose_the_columns() -> None:
    rows = sweep(varied(1), varied(2, lr=0.5))
    assert lines(rows, columns="k,training.epochs,lr")[1].split()[:4] == ["trial", "k", "epochs", "lr"]
    by_path = "training.lr,model.layer.k,model.layer.patch,model.name,model.layer.candidates.kind"
    assert lines(rows, columns=by_path)[1].split()[1:6] == ["lr", "k", "p", "model", "candidates"]
    assert lines(rows, columns="p,all")[1].split()[:3] == ["trial", "p", "lr"]
    with pytest.raises(UsageError, match=r"no trial has a field 'kk'; the varying fields are: lr"):
        lines(rows, columns="kk")


def test_without_a_complete_trial_the_epoch_of_the_ranking_is_named() -> None:
    found = sweep(row(1, "running"), compared_at=3)
    assert lines(found)[1] == "No trial is complete yet; ranked by val/accuracy at epoch 3."
    assert best_so_far(found) == "best so far: trial 1, 50.00% (ranked at epoch 3)"
    assert best_so_far(sweep()) is None


def test_configurations_with_several_seeds_have_mean_and_standard_deviation() -> None:
    rows = [replace(varied(number, seed=number), value=value) for number, value in ((1, 0.5), (2, 0.7))]
    console = Console(width=160)
    with console.capture() as said:
        console.print(over_seeds(sweep(*rows)))
    assert [line.split() for line in said.get().splitlines()] == [
        ["mean", "sd", "seeds", "trials"],
        ["60.00%", "14.14%", "2", "1,", "2"],
    ]


def test_a_loss_is_not_a_percentage() -> None:
    assert lines(sweep(row(1), metric="val/loss"))[2].split()[-2] == "0.5000"


def test_a_truncated_leaderboard_ends_with_dots() -> None:
    rows = [row(number) for number in range(1, 5)]
    assert [line.split()[0] for line in lines(sweep(*rows), 2)[1:]] == ["trial", "1", "2", "..."]
    assert len(lines(sweep(*rows), 4)) == 6


@pytest.mark.parametrize(("value", "said"), [(None, "-"), (0.123456, "0.123"), (4, "4"), ("depthwise", "depthwise")])
def test_a_parameter_is_short(value: Scalar, said: str) -> None:
    assert cell(value) == said


def test_the_name_of_a_metric_is_printed_literally() -> None:
    found = sweep(row(1), metric="[/x] :smile:")
    said = io.StringIO()
    print_leaderboard(TextConsole(file=said, width=160), found)
    assert "[/x] :smile:" in said.getvalue()
