import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search_spaces import parse_sweep
from tests.tune_jobs.report.drawn import FILE, Sweep, rows, words
from tests.tune_jobs.search.under_auto import auto_sweep
from tune_jobs.report import curves as drawn_curves
from tune_jobs.report import write_report


def test_repeated_epochs_count_once(sweep: Sweep) -> None:
    sweep.trial([0.1, 0.2], "interrupted")
    (trial,) = sweep.ledger.trials()
    attempt = sweep.ledger.start_attempt(trial.run_key)
    sweep.ledger.add_epoch(trial.run_key, attempt, 2, {"val/accuracy": 0.9})
    (line,) = sweep.figures()["learning-curves"]["data"]
    assert line["y"] == [0.1, 0.9]
    sweep.page(csv=True)
    assert [row["counts"] for row in rows(sweep.folder.path / "epochs.csv")] == ["1", "0", "1"]


def test_each_rung_shows_how_many_trials_it_stopped(sweep: Sweep) -> None:
    for _ in range(4):
        sweep.trial([0.1] * 3, "stopped", "by the stopping rule")
    sweep.trial([0.5] * 9, "complete")
    bars = {bar["name"]: dict(zip(bar["x"], bar["y"], strict=True)) for bar in sweep.figures()["stopping"]["data"]}
    assert bars == {"stopped": {"epoch 3": 4}, "continued": {"epoch 3": 1}}


def test_a_thousand_trials_are_drawn_as_the_best_and_a_band(sweep: Sweep) -> None:
    for number in range(1000):
        top = sweep.rng.random()
        sweep.trial([top * (1 - 0.7**e) for e in range(1, 10)] if number % 10 == 0 else [top], "complete")
    lines = sweep.figures()["learning-curves"]["data"]
    assert [line["name"] for line in lines[:2]] == ["middle 80% of the others", "their median"]
    assert sum(line.get("visible", True) for line in lines) == 22
    assert len(lines) == 82  # includes the others that are colored by field
    assert (sweep.folder.path / "report.html").stat().st_size < 8e6
    assert len(re.findall(r"data-value=", sweep.page())) == 1000


def test_the_band_includes_all_that_reached_an_epoch_even_if_curves_are_thinned(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawn_curves, "POINTS", 5)
    for number in range(90):
        sweep.trial([number / 100] * (9, 8, 6)[number % 3], "complete")
    _, median = sweep.figures()["learning-curves"]["data"][:2]
    others = [(number / 100, (9, 8, 6)[number % 3]) for number in range(70)]  # the best 20 are drawn as lines
    assert median["x"] == [1, 3, 5, 7, 9]
    expected = [np.median([value for value, last in others if last >= epoch]) for epoch in median["x"]]
    assert median["y"] == pytest.approx(expected)


def test_the_estimated_loss_of_the_stopping_rule_is_shown(tmp_path: Path) -> None:
    page = write_report(auto_sweep(tmp_path), measure_s=0).report.read_text(encoding="utf-8")
    assert (
        "Chance that a stopped trial would have been among the best 3: 0% to 78% "
        "(90% interval, Clopper-Pearson: 0 of 2 controls that the rule would have stopped)."
    ) in page


def test_the_loss_of_a_rule_without_controls_is_unknown(sweep: Sweep) -> None:
    sweep.trial([0.1] * 3, "stopped", "by the stopping rule")
    assert "among the best 3: not known, as asha runs no controls to their end" in sweep.page()


def curves(sweep: Sweep) -> Any:
    return sweep.figures()["learning-curves"]


@pytest.mark.parametrize("first", [0, 1, 3])
def test_the_axis_starts_at_the_first_epoch_with_a_value(sweep: Sweep, first: int) -> None:
    sweep.trial([], None)
    (trial,) = sweep.ledger.trials()
    for epoch in range(first, 6):
        sweep.ledger.add_epoch(trial.run_key, 1, epoch, {"val/accuracy": 0.5})
    begin, end = curves(sweep)["layout"]["xaxis"]["range"]
    assert first - 0.5 < begin <= first
    assert 5 <= end < 5.5


def test_a_line_shows_its_configuration_once_and_as_text(sweep: Sweep) -> None:
    for value in (0.5, 0.6):
        sweep.trial([value] * 9, "complete")
    lr, figure = f"lr {sweep.ledger.trials()[1].config.training.lr:.4g}", curves(sweep)
    (line,) = [line for line in figure["data"] if line["name"] == "trial 2"]
    assert lr in " ".join(line["meta"])
    assert all(f"%{{meta[{at}]}}" in line["hovertemplate"] for at in range(len(line["meta"])))
    assert lr not in line["hovertemplate"]  # which Plotly reads as HTML
    assert {"text", "customdata", "hovertext"}.isdisjoint(line)


def test_several_seeds_are_one_line_with_their_number(sweep: Sweep) -> None:
    text = FILE.replace("epochs: 9}", "epochs: 9, seed: {choice: [0, 1]}}")
    sweep.folder.spec.write_text(text)
    seeded = replace(sweep, spec=parse_sweep(text))
    point = {"space.model.layer": "conv2d", "space.training.lr": 1e-3}
    for seed, values in enumerate(([0.1, 0.2], [0.3, 0.4])):
        seeded.trial(values, "complete", point={**point, "space.training.seed": seed})
    seeded.trial([0.9, 0.9], "complete", point={**point, "space.training.lr": 1e-4, "space.training.seed": 0})
    figure, page = curves(seeded), words(seeded.page())
    (line,) = [line for line in figure["data"] if "seeds" in line.get("name", "")]
    assert line["y"] == [0.2, 0.3]
    assert line["hovertemplate"].startswith("mean of 2 seeds (trials 1, 2), epoch")
    (band,) = [trace for trace in figure["data"] if trace.get("fill") == "toself"]
    assert band["y"] == [0.3, 0.4, 0.2, 0.1]
    assert "Configurations with 2 seeds are drawn as their mean, with a band from the lowest to the highest" in page


def test_lines_may_be_colored_by_every_field_that_varies(sweep: Sweep) -> None:
    for value in range(1, 31):
        sweep.trial([value / 40] * 2, "stopped")
    figure, page = curves(sweep), sweep.page()
    meta = figure["layout"]["meta"]
    names = [each["name"] for each in meta["colorings"]]
    assert {"kind", "lr", "k"} <= set(names)
    menu = page.partition('<select data-of="learning-curves"')[2].partition("</select>")[0]
    assert re.findall(r"<option[^>]*>([^<]*)", menu) == ["trial", *names]
    assert [figure["data"][place]["legendrank"] for place in meta["lines"]] == list(range(30))
    for each in meta["colorings"]:
        assert len(each["colors"]) == len(each["names"]) == 30
    lrs = [trial.config.training.lr for trial in sweep.ledger.trials()]
    bar = next(each["bar"] for each in meta["colorings"] if each["name"] == "lr")
    assert (bar["cmin"], bar["cmax"]) == pytest.approx((math.log10(min(lrs)), math.log10(max(lrs))))
