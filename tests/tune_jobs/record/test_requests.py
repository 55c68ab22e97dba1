import contextlib

import pytest

from tests.tune_jobs.record.conftest import KEY
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.requests import Asked, Request, excluded, to_stop


def asked(*what: Asked) -> list[Request]:
    return [Request(seq, "a", each, 0.0, "why") for seq, each in enumerate(what, 1)]


@pytest.mark.parametrize(
    ("what", "seq"),
    [
        (asked(), None),
        (asked("exclude"), 1),
        (asked("exclude", "include"), None),
        (asked("exclude", "include", "exclude"), 3),
        (asked("exclude", "stop", "retry", "exclude"), 4),
    ],
)
def test_a_trial_is_excluded_until_it_is_included_again(what: list[Request], seq: int | None) -> None:
    found = excluded(what)
    assert (found["a"].seq if found else None) == seq


@pytest.mark.parametrize(
    ("what", "seq"),
    [
        (asked("stop"), 1),
        (asked("stop", "stop"), 1),
        (asked("stop", "retry"), None),
        (asked("stop", "retry", "stop"), 3),
        (asked("retry", "exclude"), None),
    ],
)
def test_a_request_to_stop_holds_from_the_first_one_until_the_trial_is_retried(
    what: list[Request], seq: int | None
) -> None:
    assert to_stop(what).get("a") == seq


def test_requests_including_retries_are_recorded_in_the_order_of_all_events(ledger: Ledger) -> None:
    attempt = ledger.start_attempt(KEY)
    ledger.add_request(KEY, "stop")
    ledger.add_epoch(KEY, attempt, 1, {"val/accuracy": 0.5})
    ledger.end_attempt(KEY, attempt, "stopped", "by hand")
    ledger.reopen([KEY])
    ledger.add_request(KEY, "exclude", "wrong images")
    with contextlib.closing(Ledger(ledger.path)) as reader:
        found = reader.requests()
        assert [(each.run_key, each.asked, each.why) for each in found] == [
            (KEY, "stop", None),
            (KEY, "retry", None),
            (KEY, "exclude", "wrong images"),
        ]
        (epoch,) = reader.epochs()
        assert found[0].seq < epoch.seq < found[1].seq < found[2].seq


def test_excluded_trials_do_not_count_towards_the_limit_of_failures(ledger: Ledger) -> None:
    ledger.end_attempt(KEY, ledger.start_attempt(KEY), "failed", "why", "oom")
    counts = [ledger.ended_and_failed()]
    for what in ("exclude", "include"):
        ledger.add_request(KEY, what, "why")
        counts.append(ledger.ended_and_failed())
    assert counts == [(1, 1), (0, 0), (1, 1)]
