import time

import pytest
import requests
from mlflow.exceptions import MlflowException

from tune_jobs.tracking.mlflow.retry import Abandoned, SyncHealth, is_refusal, reason_of


def test_no_call_is_made_after_giving_up() -> None:
    health = SyncHealth()
    made: list[int] = []
    health.call("first", made.append, 1)
    health.abandoned.set()
    with pytest.raises(Abandoned):
        health.call("second", made.append, 2)
    assert made == [1]


def test_repeating_a_step_of_an_earlier_try_is_not_progress() -> None:
    health = SyncHealth()
    begun = time.monotonic()
    health.call("step", int)
    health.miss(begun)
    assert health.silent(begun, 0)
    health.call("step", int)
    assert health.silent(begun, 0)
    health.call("next step", int)
    assert not health.silent(begun, 60)


def test_a_tracker_that_was_silent_before_the_wait_gets_one_more_try() -> None:
    health = SyncHealth()
    health.miss(time.monotonic())
    time.sleep(0.5)
    begun = time.monotonic()
    assert not health.silent(begun, 0.5)
    health.miss(time.monotonic())
    assert health.silent(begun, 0.5)


def test_an_upload_is_not_silence_unless_the_timeout_is_zero() -> None:
    health, begun = SyncHealth(), time.monotonic()
    health.miss(begun)
    with health.patient():
        time.sleep(0.02)
        assert not health.silent(begun, 0.01)
        assert health.silent(begun, 0)
    assert health.silent(begun, 0.01)


def test_a_refusal_affects_only_its_request() -> None:
    assert is_refusal(MlflowException("no", error_code=1000))  # INVALID_PARAMETER_VALUE
    assert not is_refusal(MlflowException("down"))
    assert is_refusal(PermissionError(13, "no access"))  # of files on this machine
    assert not is_refusal(requests.ConnectionError("no answer"))


def test_a_reason_is_one_line_and_names_the_cause() -> None:
    assert reason_of(ValueError("first\nsecond")) == "first"
    assert reason_of(ValueError()) == "ValueError"
    error = MlflowException("a long story of HTTPConnectionPool(...)")
    error.__context__ = requests.ConnectionError(OSError("connection refused"))
    assert reason_of(error) == "connection refused"
