"""The champion of a real, small confirmation, in the ledger and in a real MLflow store."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
import torch

from convnn.data import DATASETS, limited, load_dataset
from convnn.data.batches import Batches
from convnn.saved import digest_of, load_classifier
from convnn.training import evaluate
from search_spaces import TrialConfig, parse_sweep
from tests.tune_jobs.cli.invoking import invoke
from tests.tune_jobs.stores import new_store
from tune_jobs.driver.run import run
from tune_jobs.evidence.champion import champion_of
from tune_jobs.evidence.compared import Compared
from tune_jobs.evidence.confirm import Wanted, confirm
from tune_jobs.evidence.confirmation import Arm, ArmResult, ArmState, Plan, Standing
from tune_jobs.evidence.expected import Expectation
from tune_jobs.evidence.outcome import Confirmed
from tune_jobs.evidence.replay import recorded_trial, replay
from tune_jobs.evidence.verdicts import Difference, Verdict
from tune_jobs.executors.inline import open_inline
from tune_jobs.executors.registry import add_executor
from tune_jobs.loading import load_model
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import Halted
from tune_jobs.results.history import history
from tune_jobs.results.summary import read_summary
from tune_jobs.worker.attempt import train_task
from tune_jobs.worker.build import build_recipe
from tune_jobs.worker.reports import Report
from tune_jobs.worker.task import Task

LIMIT = 80
FILE = f"""
name: searched
space:
  data: {{name: digits, limit: {LIMIT}}}
  model:
    width: 0.0625
    classifier_width: 16
    layer: {{any_of: [{{kind: conv2d}}, {{kind: hybrid, lambda: 0.5, k: 3}}]}}
  training: {{lr: 3e-3, epochs: 2, batch_size: 16}}
search: {{sampler: grid}}
resources: {{checkpoint_every_s: 0, min_free_gb: 0}}
"""
HALTED = Halted("budget", "budget.gpu_hours is used up.")
SOON = Wanted(margin=1.0)
"""Differences below 100 points do not matter: few seeds are enough."""


def _train(task: Task) -> Iterator[Report]:
    task.folder.mkdir(parents=True, exist_ok=True)
    yield from train_task(task)


add_executor("champion-test", open_inline(_train, slots=2))


class Unwatched:
    """A watcher that ignores the progress of a replay."""

    def begin(self, expected: Expectation) -> None:
        """Ignore the start."""

    def take(self, epoch: Compared) -> None:
        """Ignore the epoch."""


def confirmed(folder: SweepFolder) -> Confirmed:
    return confirm(folder, SOON, progress=False, executor="champion-test")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    """A sweep that is done, with runs in the MLflow store of its storage folder."""
    storage = tmp_path_factory.mktemp("storage")
    new_store(storage / "mlflow.db")
    return run(parse_sweep(FILE), progress=False, storage=storage, executor="champion-test").folder


@pytest.fixture(scope="module")
def found(searched: SweepFolder) -> Confirmed:
    """The confirmation of the sweep, after its search stopped early."""
    with contextlib.closing(Ledger(searched.ledger)) as ledger:
        ledger.meta.halted = HALTED
    return confirmed(searched)


def uri_of(folder: SweepFolder) -> str:
    with contextlib.closing(Ledger(folder.ledger)) as ledger:
        assert ledger.meta.tracker is not None
        return ledger.meta.tracker


@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred")  # from MLflow's own import
def test_the_alias_loads_the_model_that_has_the_recorded_test_accuracy(
    searched: SweepFolder, found: Confirmed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found.champion is not None
    assert found.tracked is not None
    assert found.tracked.model == "models:/searched@champion (version 1)"
    images = load_dataset("digits", None).test
    chosen = limited(images.labels, LIMIT)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri_of(searched))
    loaded = mlflow.pyfunc.load_model("models:/searched@champion")
    right = (loaded.predict(images.pixels[chosen]) == images.labels[chosen]).mean()
    recorded = history(searched, "champion")
    assert recorded.row.metrics["test/accuracy"] == right
    files = Path(mlflow.artifacts.download_artifacts("models:/searched@champion", dst_path=str(tmp_path)))
    config, facts = recorded.row.config, DATASETS["digits"]
    model = load_classifier(files / "model").model
    loss, _ = evaluate(model, Batches(images, chosen, facts), build_recipe(config.training))
    assert loss == pytest.approx(
        recorded.row.metrics["test/loss"], rel=1e-5
    )  # such a small network may be at chance level
    ours = load_model(searched.path, "champion")
    assert ours.predict(images.pixels[chosen]).tolist() == loaded.predict(images.pixels[chosen]).tolist()
    assert ours.config.training.seed == found.plan.first_seed
    invoke("export", searched.name, "champion", tmp_path / "model.pt", storage=searched.path.parent)
    weights = torch.load(tmp_path / "model.pt", weights_only=True)
    assert digest_of(weights) == digest_of(ours.model.state_dict())


def test_the_same_command_registers_a_confirmation_of_an_earlier_version_without_running_anything(
    searched: SweepFolder, found: Confirmed
) -> None:
    with contextlib.closing(Ledger(searched.ledger)) as ledger:
        runs = len(ledger.attempts())
        ledger.meta.champion = None
        ledger.forget_tracked()
    again = confirmed(searched)
    assert again.champion == found.champion
    assert again.tracked is not None
    assert again.tracked.model == "models:/searched@champion (version 1)"
    with contextlib.closing(Ledger(searched.ledger)) as ledger:
        assert len(ledger.attempts()) == runs


@pytest.mark.usefixtures("found")
def test_the_reason_why_the_search_stopped_early_is_kept(searched: SweepFolder) -> None:
    assert read_summary(searched).halted == HALTED


def test_a_run_of_a_confirmation_is_replayed_with_its_test_set(searched: SweepFolder, found: Confirmed) -> None:
    recorded = recorded_trial(searched, "champion", from_checkpoint=True)
    assert recorded.spec.evaluation.protocol == "paper"
    assert recorded.history.row.number in found.trials
    assert replay(recorded, Unwatched()).verdict != "different"


CONFIGS = [
    TrialConfig.model_validate({"model": {"name": "vgg11", "layer": {"kind": "convnn", "k": k}}}) for k in (3, 4, 5, 6)
]
ARMS = [Arm(config, number, 0.8 - number / 100) for number, config in enumerate(CONFIGS, start=1)]
PLAN = Plan(tuple(ARMS[1:]), ARMS[0], "a reason", 8, 0.005, "test/accuracy", "maximize")
VALUES = (0.7, 0.8, 0.7, 0.8)


def standing(*differences: tuple[float, Verdict] | None, baseline: ArmState = "decided", due: int = 0) -> Standing:
    """Return a status with these differences of the candidates; candidates without one have lost a run."""
    ended = [
        ArmResult(arm, "lost", VALUES[:1], None)
        if found is None
        else ArmResult(
            arm, "decided", VALUES, Difference(4, found[0], found[0] - 0.01, found[0] + 0.01, 0.01, found[1])
        )
        for arm, found in zip(ARMS[1:], differences, strict=True)
    ]
    left = (("key", CONFIGS[0]),) * due
    return Standing(ArmResult(ARMS[0], baseline, VALUES, None), tuple(ended), left)


Found = tuple[float, Verdict]
OPEN: Found = (0.003, "not resolved")
SAME: Found = (0.0, "equal")
BETTER: Found = (0.02, "real")
BEST: Found = (0.03, "real")
WORSE: Found = (-0.02, "real")


@pytest.mark.parametrize(
    ("found", "runner_up", "expected", "why"),
    [
        (standing(OPEN, BETTER, BEST), False, 4, "Trial 4 is better than the baseline, trial 1, beyond noise: \\+3.00"),
        (standing(OPEN, BETTER, BEST), True, 4, "So is trial 3; these were not compared with it"),
        (
            standing(OPEN, SAME, WORSE),
            False,
            1,
            "No configuration was shown to be better than the baseline, trial 1, so that stays",
        ),
        (
            standing(OPEN, SAME, WORSE),
            True,
            2,
            "only the search's second best, the search's best stays: trial 2",
        ),
        (standing(WORSE, SAME, OPEN), True, 1, "baseline, trial 1, so that stays"),
        (standing(None, SAME, OPEN), True, 1, "baseline, trial 1, so that stays"),
    ],
)
def test_the_champion_is_a_configuration_shown_to_be_better_or_the_baseline(
    found: Standing, expected: int, why: str, *, runner_up: bool
) -> None:
    champion = champion_of(PLAN, found, "2026-11-30T08:00:00Z", runner_up=runner_up)
    assert champion is not None
    assert (champion.trial, champion.better) == (expected, expected == 4)
    assert re.search(why, champion.why)
    assert champion.run_key == next(PLAN.runs(ARMS[expected - 1], 1))[0]
    assert champion.numbers["runs"] == 4
    assert replace(champion, why="In other words.") == champion  # so a new wording does not run a confirmation again


@pytest.mark.parametrize(
    "found",
    [
        standing(BETTER, SAME, OPEN, due=1),
        standing(BETTER, SAME, OPEN, baseline="lost"),
        standing(None, None, None),
    ],
)
def test_a_confirmation_that_is_unfinished_or_judged_nothing_has_no_champion(found: Standing) -> None:
    assert champion_of(PLAN, found, "2026-11-30T08:00:00Z", runner_up=True) is None
