from pathlib import Path

import pytest

from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tests.tune_jobs.shipping import Recorded, value


@pytest.fixture
def storage(sweep: Recorded) -> Path:
    sweep.ledger.meta.planned = 3
    for trial, last in (("a", 3), ("b", 5), ("c", 4)):
        sweep.attempt(range(1, last + 1), "complete", trial=trial)
    return sweep.folder.path.parent


def test_an_excluded_trial_is_never_the_best_and_every_table_names_it(storage: Path) -> None:
    used = invoke_json("show", "tracked", storage=storage)["used"]
    said = invoke("exclude", "tracked", 2, "--why", "wrong images", storage=storage)
    assert "trial 2 of tracked is excluded (wrong images)" in said
    assert "convnn exclude tracked 2 --undo" in said
    line = "1 trial is excluded: trial 2 (wrong images)"
    for command in ("show", "status", "best"):
        said = invoke(command, "tracked", storage=storage)
        assert line in said
        assert "15.00%" not in said
    assert "3 of 3 trials ended   2 complete, 1 excluded" in invoke("show", "tracked", storage=storage)
    (best,) = invoke_json("best", "tracked", storage=storage)["trials"]
    assert (best["trial"], best["value"]) == (3, value(1, 4))
    told = invoke_json("show", "tracked", storage=storage)
    assert [(row["trial"], row["excluded"]) for row in told["trials"]] == [(3, None), (1, None), (2, "wrong images")]
    assert told["used"] == used
    (listed,) = invoke_json("list", storage=storage)["sweeps"]
    assert (listed["state"], listed["best"]) == ("done", value(1, 4))


def test_the_trial_shows_why_and_when_it_was_excluded(storage: Path) -> None:
    invoke("exclude", "tracked", "b", "--why", "wrong images", storage=storage)
    said = invoke("show", "tracked", 2, storage=storage)
    assert said.startswith("trial 2, b: complete\nexcluded on 20")
    assert " UTC: wrong images\n" in said
    told = invoke_json("show", "tracked", 2, storage=storage)
    assert told["excluded"] == "wrong images"
    assert told["excluded_at"] > 1e9


def test_including_a_trial_again_restores_everything(storage: Path) -> None:
    before = invoke_json("show", "tracked", storage=storage)
    told = invoke_json("exclude", "tracked", 2, "--why", "wrong images", storage=storage)
    assert (told["sweep"], told["trial"], told["excluded"]) == ("tracked", 2, "wrong images")
    assert "is included again" in invoke("exclude", "tracked", 2, "--undo", storage=storage)
    assert invoke_json("show", "tracked", storage=storage) == before


def test_a_reason_or_undo_must_be_given_and_not_both(storage: Path) -> None:
    for options in ([], ["--why", "wrong images", "--undo"]):
        said = invoke("exclude", "tracked", 2, *options, storage=storage, expect=2)
        assert "excluding a trial needs a reason" in said
    assert "is not excluded" in invoke("exclude", "tracked", 2, "--undo", storage=storage, expect=2)
