"""Requests of users about trials while a driver runs them."""

from dataclasses import replace
from pathlib import Path

from search_spaces.settings import Resources
from tests.tune_jobs.driver.by_hand import BEGUN, FROM_THE_START, ONE_AT_A_TIME, SPEC, Hand, epoch


def test_a_trial_that_a_user_stops_ends_after_its_epoch_and_makes_room_for_the_next(tmp_path: Path) -> None:
    asked: list[str] = []
    hand = Hand(tmp_path, replace(SPEC, resources=Resources(max_concurrent=2)), asked_to_stop=lambda: asked)
    hand.controller.start_more()
    for number in (1, 2):
        hand.report(number, BEGUN, FROM_THE_START, epoch(1))
    asked.append(hand.ledger.trials()[0].run_key)
    hand.passes(10)
    hand.passes(10)  # reported once, although it is asked again
    assert [told for told in hand.told if told[0] == "StopAsked"] == [("StopAsked", 1, None)]
    hand.report(2, epoch(2))
    assert hand.ledger.states()[:2] == ["running", "running"]
    hand.report(1, epoch(2))
    assert hand.executor.stopped == [hand.task(1)]
    hand.gone(1)
    (trial, *_) = hand.ledger.trials()
    assert (trial.state, trial.reason) == ("stopped", "by hand")
    assert len(hand.ledger.epochs(trial.run_key)) == 2
    hand.controller.start_more()
    assert hand.started == [(1, 1), (2, 1), (3, 1)]
    hand.complete(2)
    hand.complete(3)
    hand.controller.start_more()
    hand.complete(4)
    assert hand.controller.over()
    assert hand.ledger.states() == ["stopped", "complete", "complete", "complete"]


def test_a_request_for_a_trial_that_is_not_running_changes_nothing(tmp_path: Path) -> None:
    asked: list[str] = ["of no trial"]
    hand = Hand(tmp_path, ONE_AT_A_TIME, asked_to_stop=lambda: asked)
    hand.controller.start_more()
    hand.complete(1)
    asked.append(hand.ledger.trials()[0].run_key)
    hand.passes(10)
    assert hand.ledger.requests() == []
    assert hand.ledger.states() == ["complete"]


def test_a_trial_that_is_asked_to_stop_in_its_last_epoch_is_complete(tmp_path: Path) -> None:
    asked: list[str] = []
    hand = Hand(tmp_path, ONE_AT_A_TIME, asked_to_stop=lambda: asked)
    hand.controller.start_more()
    hand.report(1, BEGUN, FROM_THE_START, epoch(1), epoch(2))
    asked.append(hand.ledger.trials()[0].run_key)
    hand.passes(10)
    hand.report(1, epoch(3))
    assert hand.ledger.states() == ["complete"]
