import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from search_spaces import Decided
from tests.tune_jobs.driver.by_hand import SPEC
from tests.tune_jobs.driver.scripted import Unseen
from tune_jobs.driver.opening import open_ledger
from tune_jobs.driver.restart import Selection, extend, resume
from tune_jobs.errors import UsageError
from tune_jobs.failures import Failure, state_after
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import BY_HAND, BY_THE_RULE


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with contextlib.closing(Ledger(tmp_path / "ledger.db", create=True)) as opened:
        yield opened


def fail(ledger: Ledger, key: str, failure: Failure) -> None:
    if key not in [trial.run_key for trial in ledger.trials()]:
        ledger.add_trial({}, SPEC.space.resolve(Decided(next(SPEC.space.points()))), key)
    ledger.end_attempt(key, ledger.start_attempt(key), state_after(failure, "final"), "why", failure)


def test_failed_trials_become_pending_again_but_diverged_ones_do_not(ledger: Ledger) -> None:
    fail(ledger, "a", "oom")
    fail(ledger, "b", "diverged")
    fail(ledger, "c", "data")
    assert Selection().reopen(ledger) == {"a", "c"}
    assert ledger.states() == ["interrupted", "diverged", "interrupted"]


def test_only_failures_of_the_requested_classes_are_chosen(ledger: Ledger) -> None:
    fail(ledger, "a", "oom")
    fail(ledger, "b", "diverged")
    assert Selection(frozenset({"diverged"})).reopen(ledger) == {"b"}


def test_trials_that_an_earlier_retry_made_pending_are_still_run(ledger: Ledger) -> None:
    fail(ledger, "a", "oom")
    fail(ledger, "b", "data")
    both = Selection().reopen(ledger)
    fail(ledger, "a", "oom")  # has ended since, and is chosen again
    assert Selection().reopen(ledger) == both
    ledger.end_attempt("a", ledger.start_attempt("a"), "complete")
    assert Selection().reopen(ledger) == {"b"}


def test_a_retry_without_matching_trials_lists_the_failures(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match="no trial has failed, so there is nothing to retry"):
        Selection().reopen(ledger)
    fail(ledger, "a", "oom")
    with pytest.raises(
        UsageError, match=r"no trial has failed with data.*The failures are: 1 oom. To retry one class: --class CLASS"
    ):
        Selection(frozenset({"data"})).reopen(ledger)


@pytest.mark.parametrize(
    ("trials", "said"),
    [
        ("ten", "must be a number"),
        ("-1", "must be a number"),
        ("+5", "is a grid and already runs every trial of its space"),
    ],
)
def test_an_invalid_number_of_trials_is_refused(tmp_path: Path, trials: str, said: str) -> None:
    folder = SweepFolder(tmp_path / SPEC.name)
    folder.path.mkdir()
    open_ledger(folder, SPEC).close()
    with pytest.raises(UsageError, match=said):
        extend(SPEC.name, trials, Unseen(), storage=tmp_path)


def test_a_missing_sweep_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no sweep 'none'"):
        resume("none", Unseen(), storage=tmp_path)


def stop(ledger: Ledger, key: str, reason: str) -> None:
    ledger.add_trial({}, SPEC.space.resolve(Decided(next(SPEC.space.points()))), key)
    ledger.end_attempt(key, ledger.start_attempt(key), "stopped", reason)


def test_trials_that_a_user_stopped_run_again_only_on_request(ledger: Ledger) -> None:
    by_hand = Selection(frozenset(), stopped=True)
    stop(ledger, "a", BY_THE_RULE)
    with pytest.raises(UsageError, match="no trial was stopped manually, so there is nothing to retry"):
        by_hand.reopen(ledger)
    stop(ledger, "b", BY_HAND)
    stop(ledger, "c", BY_HAND)
    fail(ledger, "d", "oom")
    assert Selection().reopen(ledger) == {"d"}
    assert by_hand.reopen(ledger) == {"b", "c"}
    ledger.end_attempt("b", ledger.start_attempt("b"), "complete")
    assert by_hand.reopen(ledger) == {"c"}  # still pending, as its driver died
    assert Selection(None, stopped=True).reopen(ledger) == {"c", "d"}


def test_an_excluded_trial_is_not_run_again(ledger: Ledger) -> None:
    for key in "ab":
        fail(ledger, key, "oom")
    ledger.add_request("a", "exclude", "wrong images")
    assert Selection().reopen(ledger) == {"b"}
    ledger.end_attempt("b", ledger.start_attempt("b"), "complete")
    with pytest.raises(UsageError, match=r"no trial has failed, so there is nothing to retry\.$"):
        Selection().reopen(ledger)
    ledger.add_request("a", "include")
    assert Selection().reopen(ledger) == {"a"}
