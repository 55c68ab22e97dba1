import contextlib
from pathlib import Path

import pytest

from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tests.tune_jobs.cli.shared.test_outputs import require_as_said
from tests.tune_jobs.evidence.test_confirm import confirmed, searched
from tune_jobs.evidence.confirm import Wanted


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One with a sweep whose three best are confirmed."""
    place = tmp_path_factory.mktemp("storage")
    (place / "searched").mkdir()
    with contextlib.closing(searched(place / "searched")) as ledger:
        confirmed(ledger, Wanted(top=3, margin=0.01))
    return place


def test_a_confirmation_that_is_over_is_shown_again_and_runs_nothing(storage: Path) -> None:
    said = invoke("confirm", "searched", storage=storage)
    assert "baseline: trial 1, the best with neither ConvNN" in said
    assert "real: better" in said
    assert "equal within 1.00 points" in said
    assert "Trial 3 is better than the baseline beyond noise." in said
    assert "Welch's t-test at 4, 8 and 16 runs" in said
    assert invoke("confirm", "searched", "--top", "3", storage=storage) == said


def test_another_choice_is_refused_with_the_way_out(storage: Path) -> None:
    said = invoke("confirm", "searched", "--top", "1", storage=storage, expect=2)
    assert "was opened on" in said
    assert "(top 1, was 3)" in said
    assert "--again" in said


def test_what_is_printed_is_as_its_schema_says(storage: Path) -> None:
    printed = invoke_json("confirm", "searched", storage=storage)
    require_as_said("confirm", printed)
    assert printed["best"] == 3
    assert printed["candidates"][0]["difference"]["verdict"] == "real"


def test_mistakes_are_answered(storage: Path, tmp_path: Path) -> None:
    assert "no sweep" in invoke("confirm", "another", storage=storage, expect=2)
    said = invoke("confirm", "searched", "--again", "--baseline", "gone.yaml", storage=storage, expect=2)
    assert "--baseline must be a trial's number or the file of one configuration, got gone.yaml" in said
    assert "has no trial '99'" in invoke(
        "confirm", "searched", "--again", "--baseline", "99", storage=storage, expect=2
    )
    several = tmp_path / "several.yaml"
    several.write_text("name: s\nspace: {model: {layer: {kind: hybrid, lambda: {choice: [0.5, 1]}}}}\n")
    said = invoke("confirm", "searched", "--again", "--baseline", several, storage=storage, expect=2)
    assert "describes more than one configuration" in said
