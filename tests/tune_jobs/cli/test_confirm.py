import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from search_spaces.settings import Budget
from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tests.tune_jobs.cli.shared.test_outputs import require_as_said
from tests.tune_jobs.evidence.test_confirm import confirmed, searched
from tests.tune_jobs.webhook import webhook
from tune_jobs.evidence.confirm import Wanted
from tune_jobs.record.folder import SweepFolder
from tune_jobs.report.data import read_data
from tune_jobs.worker.reports import AttemptFailed, Report
from tune_jobs.worker.task import Task


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with a sweep whose three best configurations are confirmed."""
    place = tmp_path_factory.mktemp("storage")
    (place / "searched").mkdir()
    with contextlib.closing(searched(place / "searched")) as ledger:
        confirmed(ledger, Wanted(top=3, margin=0.01))
    return place


def test_a_finished_confirmation_is_shown_again_and_runs_nothing(storage: Path) -> None:
    said = invoke("confirm", "searched", storage=storage)
    assert "baseline: trial 1, the best with neither ConvNN" in said
    assert "The test set was opened once, on 20" in said
    assert "real: better" in said
    assert "equal within 1.00 points" in said
    assert "Trial 3 is better than the baseline beyond noise." in said
    assert "Welch's t-test at 4, 8 and 16 runs" in said
    assert invoke("confirm", "searched", "--top", "3", storage=storage) == said


def test_other_options_are_refused_with_the_way_out(storage: Path) -> None:
    said = invoke("confirm", "searched", "--top", "1", storage=storage, expect=2)
    assert "was opened on" in said
    assert "(top 1, was 3)" in said
    assert "--again" in said


def test_the_json_output_matches_its_schema(storage: Path) -> None:
    printed = invoke_json("confirm", "searched", storage=storage)
    require_as_said("confirm", printed)
    assert printed["best"] == 3
    assert printed["candidates"][0]["difference"]["verdict"] == "real"


def test_the_champion_and_its_place_are_printed(storage: Path) -> None:
    said = invoke("confirm", "searched", storage=storage)
    assert "champion: trial 3, test/accuracy" in said
    assert "Trial 3 is better than the baseline, trial 1, beyond noise: +" in said
    assert "convnn export searched champion FILE" in said
    assert "to register it: convnn sync searched" in said
    told = invoke_json("confirm", "searched", storage=storage)["champion"]
    assert (told["trial"], told["better"]) == (3, True)


def test_the_failure_of_all_runs_is_reported_as_a_failure(tmp_path: Path) -> None:
    def fails(task: Task) -> Iterator[Report]:
        yield from ()
        yield AttemptFailed("user_error", f"no images for {task.run_key}")

    (tmp_path / "searched").mkdir()
    with contextlib.closing(searched(tmp_path / "searched")) as ledger:
        confirmed(ledger, objective=fails)
    with webhook() as hook:
        invoke("confirm", "searched", "--notify", hook.address, storage=tmp_path, expect=1)
    (posted,) = hook.posted
    assert (posted["event"], posted["trials"]["failed"]) == ("failed", posted["trials"]["ended"])
    assert posted["resume"] == "convnn confirm searched"


def test_the_report_names_the_confirmed_champion(storage: Path) -> None:
    data = read_data(SweepFolder(storage / "searched"), 0, print)
    assert data.confirmed is not None
    assert data.confirmed.startswith("Confirmed champion: trial 3, test/accuracy 7")
    assert data.confirmed.endswith("The test set was opened once for this.")


def test_its_runs_are_shown_by_number_with_role_seed_look_and_epochs(storage: Path) -> None:
    printed = invoke_json("confirm", "searched", storage=storage)
    number = max(printed["trials"])
    assert f"Its runs are trials {min(printed['trials'])} to {number}. To show one: convnn show" in invoke(
        "confirm", "searched", storage=storage
    )
    told = invoke_json("show", "searched", number, storage=storage)
    require_as_said("show", told)
    run = told["confirmation"]
    assert (told["role"], told["trial"], run["seed"]) == ("confirm", number, told["seed"])
    assert run["run"] <= run["runs"]
    assert [epoch["test/accuracy"] for epoch in told["epoch_metrics"]] == pytest.approx(
        [told["value"] - 0.1, told["value"]]
    )
    said = invoke("show", "searched", number, storage=storage)
    assert f"seed {run['seed']}, for look {run['look']} (at {run['runs']} runs of each)" in said
    assert "protocol: paper" in said
    assert "role" in invoke_json("show", "searched", 1, storage=storage)
    assert "its trials are 1 to 4" in invoke("show", "searched", number + 1, storage=storage, expect=2)


def test_the_log_of_a_run_is_printed(storage: Path) -> None:
    found = invoke_json("show", "searched", "champion", storage=storage)
    assert found["confirmation"]["run"] == 1
    log = SweepFolder(storage / "searched").log_of(found["run_key"])
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("epoch 1\n")
    assert invoke("logs", "searched", found["trial"], storage=storage) == "epoch 1\n"
    assert invoke("logs", "searched", "champion", storage=storage) == "epoch 1\n"


def test_without_a_finished_confirmation_a_champion_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "searched").mkdir()
    with contextlib.closing(searched(tmp_path / "searched")) as ledger:
        confirmed(ledger, budget=Budget(trials=6))
    for words in (["show", "searched", "champion"], ["export", "searched", "champion", tmp_path / "model.pt"]):
        said = invoke(*words, storage=tmp_path, expect=2)
        assert "searched has no champion: only a finished confirmation chooses one" in said
        assert "convnn confirm searched" in said


def test_mistakes_get_a_message(storage: Path, tmp_path: Path) -> None:
    assert "no sweep" in invoke("confirm", "another", storage=storage, expect=2)
    said = invoke("confirm", "searched", "--again", "--baseline", "gone.yaml", storage=storage, expect=2)
    assert "--baseline must be a trial's number or a file with one configuration, got gone.yaml" in said
    assert "has no trial '99'" in invoke(
        "confirm", "searched", "--again", "--baseline", "99", storage=storage, expect=2
    )
    several = tmp_path / "several.yaml"
    several.write_text("name: s\nspace: {model: {layer: {kind: hybrid, lambda: {choice: [0.5, 1]}}}}\n")
    said = invoke("confirm", "searched", "--again", "--baseline", several, storage=storage, expect=2)
    assert "describes more than one configuration" in said
