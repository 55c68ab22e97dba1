"""What a report shows of a sweep, in whatever state that is."""

import contextlib
import csv
import json
import math
import os
import random
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from search_spaces import Decided, SweepSpec, TrialConfig, canonical, parse_sweep, run_key
from tests.tune_jobs.program import convnn, convnn_json
from tests.tune_jobs.shipping import recorded
from tune_jobs.errors import LedgerError, UsageError
from tune_jobs.failures import Failure
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.meta import Goal
from tune_jobs.record.rows import State
from tune_jobs.report import write_report
from tune_jobs.report.varying import scale_of, varying
from tune_jobs.results.summary import Row

FILE = """
name: drawn  # <b>not bold</b>
space:
  model:
    layer:
      any_of:
        - {kind: conv2d}
        - kind: hybrid
          lambda: 0.5
          k: {choice: [4, 9]}
          candidates:
            any_of:
              - {kind: all}
              - {kind: random, r: {int: [16, 256]}, when_too_few: all}
  training: {lr: {log_uniform: [1.0e-5, 1.0e-2]}, epochs: 9}
search: {sampler: random, trials: 1000}
stopping: {kind: asha, grace_epochs: 3}
resources: {gpus_per_trial: 0.25}
budget: {gpu_hours: 24}
"""


@dataclass(frozen=True)
class Sweep:
    """A sweep that only its ledger knows."""

    folder: SweepFolder
    ledger: Ledger
    spec: SweepSpec
    rng: random.Random = field(default_factory=lambda: random.Random(0))

    def trial(
        self,
        values: list[float],
        state: State | None,
        reason: str | None = None,
        failure: Failure | None = None,
        *,
        point: dict[str, Any] | None = None,
        size: Mapping[str, float] | None = None,
        **metrics: float,
    ) -> float:
        """A new trial with these accuracies, which still runs if there is no `state`; its learning rate.

        `size` is recorded with its first epoch alone, as workers do.
        """
        point = point or self.spec.space.draw(self.rng)
        config = self.spec.space.resolve(Decided(point))
        key = run_key(config)
        self.ledger.add_trial(point, canonical(config), key)
        attempt = self.ledger.start_attempt(key, gpus=0.25, cpus=2)
        for epoch, value in enumerate(values, 1):
            more = size if size and epoch == 1 else {}
            self.ledger.add_epoch(key, attempt, epoch, {"val/accuracy": value, **metrics, **more})
        if state is not None:
            self.ledger.end_attempt(key, attempt, state, reason, failure)
        return config.training.lr

    def next_lr(self) -> float:
        """The learning rate that the next trial will have."""
        state = self.rng.getstate()
        lr = self.spec.space.draw(self.rng)["space.training.lr"]
        self.rng.setstate(state)
        assert isinstance(lr, float)
        return lr

    def page(self, **options: Any) -> str:
        """The report; models are not measured."""
        return write_report(self.folder, measure_s=0, **options).report.read_text(encoding="utf-8")

    def figures(self) -> dict[str, Any]:
        """What is plotted in the report."""
        found = re.search(r"id=data>(.*?)</script>", self.page(), re.DOTALL)
        assert found is not None
        figures: dict[str, Any] = json.loads(found[1])["figures"]
        return figures


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Sweep]:
    folder = SweepFolder(tmp_path / "drawn")
    folder.path.mkdir()
    folder.spec.write_text(FILE)
    with contextlib.closing(Ledger(folder.ledger, create=True)) as ledger:
        ledger._db.execute("PRAGMA synchronous=OFF")
        ledger.meta.planned = 1000
        yield Sweep(folder, ledger, parse_sweep(FILE))


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def words(page: str) -> str:
    """What a reader sees of a page, without its programs."""
    return " ".join(re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL).split())


class Outside(HTMLParser):
    """Collects what a page loads, or leads to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {f"{tag} {v}" for k, v in attrs if k in ("src", "href", "srcset", "data") and v and v[0] != "#"}
        self.found |= {tag} & {"link", "iframe", "object", "img", "base", "form"}


def test_the_page_loads_nothing_and_browsers_hold_it_to_that(sweep: Sweep) -> None:
    sweep.trial([0.5], "complete")
    page, parser = sweep.page(), Outside()
    parser.feed(page)
    assert parser.found == set()
    assert "content=\"default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval';" in page
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style


def test_every_trial_and_every_epoch_is_in_the_tables_to_the_last_bit(sweep: Sweep) -> None:
    sweep.trial([1 / 3, 2 / 3], "complete")
    sweep.trial([0.1], "stopped")
    sweep.trial([], None)
    sweep.page(csv=True)
    board, epochs = (rows(sweep.folder.path / name) for name in ("leaderboard.csv", "epochs.csv"))
    assert {(r["run_key"], int(r["trial"]), r["state"]) for r in board} == {
        (trial.run_key, trial.number, trial.state) for trial in sweep.ledger.trials()
    }
    assert [(r["run_key"], int(r["epoch"]), float(r["val/accuracy"])) for r in epochs] == [
        (epoch.run_key, epoch.epoch, epoch.metrics["val/accuracy"]) for epoch in sweep.ledger.epochs()
    ]
    assert float(board[0]["value"]) == 2 / 3


def test_the_size_of_a_model_is_in_the_table_whatever_epoch_its_trial_is_at(sweep: Sweep) -> None:
    size = {"params": 7.0, "gflops": 0.25, "gflops_published": 0.5}
    sweep.trial([0.5, 0.6], "complete", size=size)
    sweep.trial([0.1], "stopped", size=size)
    sweep.page(csv=True)
    assert [row["gflops"] for row in rows(sweep.folder.path / "leaderboard.csv")] == ["0.25", "0.25"]


def test_parameters_of_different_models_that_are_called_alike_are_told_apart() -> None:
    models = {
        "vgg": {"name": "vgg11", "layer": {"kind": "conv2d"}},
        "vgg hybrid": {"name": "vgg11", "layer": {"kind": "hybrid", "lambda": 0.5, "k": 4}},
        "vit": {"name": "vit_tiny", "attention": {"kind": "attention"}},
        "vit convnn": {"name": "vit_tiny", "attention": {"kind": "convnn", "k": 4}},
    }
    trials = [
        Row(number, key, "complete", None, None, 1, 0.5, {}, TrialConfig.model_validate({"model": model}))
        for number, (key, model) in enumerate(models.items(), 1)
    ]
    found = {parameter.name: parameter.values for parameter in varying(trials)}
    assert found["model.layer.kind"]["vgg hybrid"] == "hybrid"
    assert found["model.attention.kind"]["vit convnn"] == "convnn"
    assert "kind" not in found


def test_seeds_are_chance_and_not_a_choice(sweep: Sweep) -> None:
    text = FILE.replace("epochs: 9}", "epochs: 9, seed: {choice: [0, 1, 2]}}")
    sweep.folder.spec.write_text(text)
    with_seeds = replace(sweep, spec=parse_sweep(text))
    for seed, values in ((0, [0.5, 0.8]), (1, [0.6, 0.3]), (2, [0.7, 0.4])):
        for lr, value in zip((1e-3, 1e-4), values, strict=True):
            point = {"space.model.layer": "conv2d", "space.training.lr": lr, "space.training.seed": seed}
            with_seeds.trial([value] * 9, "complete", point=point)
    said = words(with_seeds.page())
    assert "epoch 9 of 9; its configuration over 3 seeds: 50.00% ± 26.46%" in said
    assert "mean sd seeds lambda k r p aggregation lr trials 60.00% 10.00% 3" in said
    assert said.index("60.00% 10.00% 3") < said.index("50.00% 26.46% 3")
    assert "slice-seed" not in with_seeds.figures()


def test_trials_that_did_not_run_to_the_end_come_last_in_parallel_coordinates(sweep: Sweep) -> None:
    sweep.trial([0.4] * 9, "complete")
    sweep.trial([0.3] * 9, "complete")
    assert "epoch" not in {axis["label"] for axis in parallel(sweep)["dimensions"]}
    sweep.trial([0.9], "stopped")
    drawn = parallel(sweep)
    axes = {axis["label"]: axis["values"] for axis in drawn["dimensions"]}
    warmth = dict(zip(axes["val/accuracy"], drawn["line"]["color"], strict=True))
    assert warmth[0.9] < warmth[0.3] < warmth[0.4]
    assert axes["epoch"] == [1, 9, 9]
    assert "1 did not run to the end" in words(sweep.page())
    assert "1 hollow ones did not" in words(sweep.page())


def parallel(sweep: Sweep) -> dict[str, Any]:
    (drawn,) = sweep.figures()["parallel-coordinates"]["data"]
    found: dict[str, Any] = drawn
    return found


def test_the_numbers_of_the_page_are_the_ledgers(sweep: Sweep) -> None:
    values = [math.sqrt(number) / 10 for number in range(1, 41)]
    for value in values:
        sweep.trial([value], "complete")
    page = sweep.page()
    assert [float(value) for value in re.findall(r'data-value="(.*?)"', page)] == sorted(values, reverse=True)
    assert "Best: 63.25% val/accuracy, trial 40, epoch 1 of 9" in words(page)
    assert "show all 40 trials" in page


def test_epochs_that_were_run_again_count_once(sweep: Sweep) -> None:
    sweep.trial([0.1, 0.2], "interrupted")
    (trial,) = sweep.ledger.trials()
    attempt = sweep.ledger.start_attempt(trial.run_key)
    sweep.ledger.add_epoch(trial.run_key, attempt, 2, {"val/accuracy": 0.9})
    (line,) = sweep.figures()["learning-curves"]["data"]
    assert line["y"] == [0.1, 0.9]
    sweep.page(csv=True)
    assert [row["counts"] for row in rows(sweep.folder.path / "epochs.csv")] == ["1", "0", "1"]


def test_what_users_write_is_shown_and_not_obeyed(sweep: Sweep) -> None:
    sweep.trial([], "failed", "</script><script>alert('reason')</script>", "user_error")
    page = sweep.page()
    assert "&lt;script&gt;alert(&#x27;reason&#x27;)&lt;/script&gt;" in page
    assert "alert('reason')" not in page
    assert "# &lt;b&gt;not bold&lt;/b&gt;" in page


def test_a_sweep_that_runs_is_drawn_as_it_stands(sweep: Sweep) -> None:
    sweep.trial([0.5, 0.6], None)
    assert words(sweep.page()).startswith("drawn drawn unfinished maximize val/accuracy. Best: 60.00%")
    (sweep.folder.path / "driver.json").write_text('{"host": "another one", "pid": 1, "since": 0}')
    assert "drawn running maximize" in words(sweep.page())
    (curve,) = sweep.figures()["learning-curves"]["data"]
    assert (curve["x"], curve["y"]) == ([1, 2], [0.5, 0.6])


@pytest.mark.parametrize("trials", [0, 1])
def test_a_sweep_without_a_number_says_so(sweep: Sweep, trials: int) -> None:
    for _ in range(trials):
        sweep.trial([], None)
    said = words(sweep.page())
    assert "No trial has a value yet." in said
    assert "No trial has finished an epoch yet." in said
    assert sweep.figures() == {}


def test_a_sweep_of_failures_shows_why(sweep: Sweep) -> None:
    sweep.trial([0.1, math.nan], "diverged", "loss is nan in epoch 2", "diverged")
    sweep.trial([], "failed", "CUDA out of memory", "oom")
    sweep.trial([], "failed", "CUDA out of memory", "oom")
    said = words(sweep.page())
    assert "class trials ended by it attempts oom 2 2 diverged 1 1" in said
    assert "1 diverged loss is nan in epoch 2" in said


def test_one_trial_is_enough_for_a_page(sweep: Sweep) -> None:
    sweep.trial([0.5] * 9, "complete", params=10.0, gflops=0.5)
    assert sweep.figures().keys() == {"learning-curves", "pareto", "stopping"}
    assert "This needs two trials with a value" in sweep.page()


def test_a_parameter_that_some_trials_lack_is_none_on_its_axis(sweep: Sweep) -> None:
    for number in range(40):
        sweep.trial([number / 40], "complete")
    figures = sweep.figures()
    axes = {axis["label"]: axis for axis in figures["parallel-coordinates"]["data"][0]["dimensions"]}
    assert {"lambda", "k", "r", "p", "aggregation", "lr", "kind", "candidates.kind", "val/accuracy"} == axes.keys()
    assert axes["k"]["ticktext"] == ["none", "4", "9"]
    assert axes["r"]["ticktext"][0] == "none"
    assert axes["r"]["tickvals"][0] < min(value for value in axes["r"]["tickvals"][1:])
    assert figures["slice-k"]["layout"]["xaxis"]["ticktext"] == ["none", "4", "9"]


def test_numbers_that_no_two_trials_share_lie_where_they_are() -> None:
    assert scale_of([0.001, 0.002, 0.004]).places == {0.001: 0.001, 0.002: 0.002, 0.004: 0.004}
    assert scale_of([1e-5, 1e-3, 1e-4]).places == {1e-5: -5, 1e-4: -4, 1e-3: -3}
    assert scale_of([4, 9, 9, None]).places == {None: 0, 4: 1, 9: 2}


def test_what_decides_is_the_most_important(sweep: Sweep) -> None:
    for _ in range(60):
        sweep.trial([1 - abs(math.log10(sweep.next_lr()) + 3) / 3] * 3, "stopped")
    (bars,) = sweep.figures()["importance"]["data"]
    assert bars["y"][-1] == "lr"
    assert bars["x"][-1] > 0.5
    assert "what set the best 6 of 60 trials apart" in words(sweep.page())


def test_what_makes_trials_diverge_is_important_too(sweep: Sweep) -> None:
    for number in range(60):
        if sweep.next_lr() > 1e-4:
            sweep.trial([0.1, math.nan], "diverged", "loss is nan in epoch 2", "diverged")
        else:
            sweep.trial([random.Random(number).random()] * 9, "complete")
    (bars,) = sweep.figures()["importance"]["data"]
    assert bars["y"][-1] == "lr"
    assert bars["x"][-1] > 0.5


def test_where_all_came_to_the_same_no_parameter_made_a_difference(sweep: Sweep) -> None:
    for _ in range(30):
        sweep.trial([0.1] * 9, "complete")
    assert "importance" not in sweep.figures()
    assert "All 30 trials came to the same value, so no parameter made a difference." in words(sweep.page())


def test_of_few_trials_importance_is_not_said(sweep: Sweep) -> None:
    for _ in range(19):
        sweep.trial([0.5] * 9, "complete")
    assert "This needs 20 trials that can be compared, and there are 19: it would be mostly chance." in words(
        sweep.page()
    )


@pytest.mark.parametrize(
    ("goal", "front"), [("maximize", ([1, 2, 4], [0.5, 0.7, 0.9])), ("minimize", ([1, 3], [0.5, 0.4]))]
)
def test_the_pareto_front_has_the_trials_that_none_beats(sweep: Sweep, goal: Goal, front: Any) -> None:
    sweep.ledger.meta.goal = goal
    for value, gflops in ((0.5, 1.0), (0.7, 2.0), (0.4, 3.0), (0.9, 4.0)):
        sweep.trial([value], "complete", params=7.0, gflops=gflops)
    sweep.trial([0.99], "stopped", params=7.0, gflops=0.1)
    drawn = next(line for line in sweep.figures()["pareto"]["data"] if line["name"] == "Pareto front")
    assert (drawn["x"], drawn["y"]) == front


def test_models_whose_size_is_not_recorded_are_measured(sweep: Sweep) -> None:
    sweep.trial([0.5], "complete")
    page = write_report(sweep.folder, measure_s=5).report.read_text(encoding="utf-8")
    assert re.search(r"<td class=n>0\.\d+</td><td class=n>1\d\d,\d{3},\d{3}</td>", page)


def test_each_rung_says_how_many_it_stopped(sweep: Sweep) -> None:
    for _ in range(4):
        sweep.trial([0.1] * 3, "stopped", "by the stopping rule")
    sweep.trial([0.5] * 9, "complete")
    bars = {bar["name"]: dict(zip(bar["x"], bar["y"], strict=True)) for bar in sweep.figures()["stopping"]["data"]}
    assert bars == {"stopped there": {"epoch 3": 4}, "went on": {"epoch 3": 1}}


def test_a_thousand_trials_are_drawn_as_the_best_and_a_band(sweep: Sweep) -> None:
    for number in range(1000):
        top = sweep.rng.random()
        sweep.trial([top * (1 - 0.7**e) for e in range(1, 10)] if number % 10 == 0 else [top], "complete")
    begun = time.monotonic()
    lines = sweep.figures()["learning-curves"]["data"]
    assert time.monotonic() - begun < 15
    assert [line["name"] for line in lines[:2]] == ["8 in 10 others", "their median"]
    assert len(lines) == 22
    assert (sweep.folder.path / "report.html").stat().st_size < 8e6
    assert len(re.findall(r"data-value=", sweep.page())) == 1000


def test_how_to_reproduce_it_has_the_file_and_the_best_trials(sweep: Sweep) -> None:
    lr = sweep.trial([0.5], "complete")
    start = {"command": ["/bin/convnn", "run", "my file.yaml"], "git": {"sha": "abc123", "dirty": True, "diff": ""}}
    rest = {"packages": {"torch": "2.11"}, "data_digests": {"cifar10": "d1"}, "image": "convnn:7"}
    later = {**start, **rest, "command": ["convnn", "resume", "drawn"], "packages": {"torch": "2.12"}}
    sweep.folder.manifest.write_text(json.dumps({"starts": [{**start, **rest}, later]}))
    said = words(sweep.page())
    for text in (
        "convnn run drawn.yaml --set name=drawn-again",
        "convnn run &#x27;my file.yaml&#x27;",
        "It was started 2 times, and not always with the same",
        "abc123, with uncommitted changes",
        "torch 2.11 / then 2.12",
        "image convnn:7",
    ):
        assert text in said
    assert "search: {sampler: random, trials: 1000}" in said
    assert f"lr: {lr}" in said


def test_the_command_tells_programs_where_everything_is(sweep: Sweep) -> None:
    sweep.trial([0.5], "complete", params=7.0, gflops=0.1)
    place = sweep.folder.path
    told = convnn_json("report", "drawn", "--csv", storage=place.parent)
    csvs = [str(place / name) for name in ("leaderboard.csv", "epochs.csv")]
    assert told == {"sweep": "drawn", "report": str(place / "report.html"), "png": [], "csv": csvs}
    other = place.parent / "elsewhere" / "page.html"
    assert convnn("report", "drawn", "--output", other, storage=place.parent) == f"{other}\n"
    assert other.exists()


def test_without_a_browser_pictures_are_refused_in_a_line(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROWSER_PATH", "/nowhere/chrome")
    with pytest.raises(UsageError, match=r"^--png needs Chrome or Chromium, .*apt-get install chromium.*$"):
        sweep.page(png=True)
    assert not (sweep.folder.path / "report.html").exists()


def test_a_report_that_cannot_be_written_leaves_the_last_one_whole(sweep: Sweep) -> None:
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
def test_a_place_that_is_no_file_is_refused(sweep: Sweep, place: str, error: type[Exception]) -> None:
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


def test_mlflow_gets_the_report_and_a_sweep_that_cannot_be_drawn_is_shipped_all_the_same(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with recorded(tmp_path) as sweep:
        sweep.attempt([1, 2], "complete")
        (sweep.folder.path / "report.html").mkdir()  # in the way
        sweep.ship(uri)
        client, parent = MlflowClient(uri), sweep.parent(uri).info.run_id
        assert {file.path for file in client.list_artifacts(parent)} == {"leaderboard.json", "sweep.yaml"}
        (sweep.folder.path / "report.html").rmdir()
        sweep.attempt([1], "complete", trial="b")
        sweep.ship(uri)
        assert "report.html" in {file.path for file in client.list_artifacts(parent)}
        page = Path(client.download_artifacts(parent, "report.html", str(tmp_path))).read_text(encoding="utf-8")
        assert "trials ended 2" in words(page)
        sweep.expect_whole(uri)
