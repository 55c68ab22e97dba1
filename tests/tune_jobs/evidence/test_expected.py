"""Comparison of a replay's environment with the recorded one. No training."""

from dataclasses import replace
from typing import Any

from tune_jobs.evidence.expected import Expectation, expectation, threads_of
from tune_jobs.record.environment import Environment
from tune_jobs.record.rows import Attempt

HERE = Environment(2, "AMD EPYC", "AVX2", {"convnn-sweeps": "0.2.0", "torch": "2.15.0+cpu"}, "c0de", 2)
START = {"at": "1970-01-01T00:00:01Z", "packages": {"convnn-sweeps": "0.2.0", "torch": "2.15.0", "ray": "2.60.0"}}


def attempt(
    environment: Environment | None, number: int = 1, *, device: str | None = "cpu", gpus: float = 0
) -> Attempt:
    return Attempt(
        "a", number, "complete", 10.0 * number, 20.0, None, None, 0, None, 1.0, gpus, 3, "host", device, environment
    )


def expected(*attempts: Attempt, starts: list[dict[str, Any]] | None = None, device: str = "cpu") -> Expectation:
    return expectation(attempts, starts or [], HERE, device)


def said(found: Expectation) -> list[str]:
    return [str(difference) for difference in found.differences]


def test_equality_bit_for_bit_is_expected_if_nothing_differs() -> None:
    found = expected(attempt(HERE), attempt(HERE, 2))
    assert (found.bit_equal, said(found), found.assumed, found.notes) == (True, [], [], [])


def test_each_fact_that_differs_is_named_with_its_attempts() -> None:
    changes: dict[str, Any] = {
        "threads": 4, "cpu": "Intel Xeon", "instructions": "AVX512", "code": "older", "numbers": 3,
        "packages": {**HERE.packages, "torch": "2.14.0+cpu"},
    }  # fmt: skip
    for name, value in changes.items():
        found = expected(attempt(HERE), attempt(replace(HERE, **{name: value}), 2), attempt(HERE, 3))
        assert not found.bit_equal
        (difference,) = found.differences
        assert difference.attempts == [2]
    assert said(expected(attempt(replace(HERE, packages=changes["packages"])))) == [
        "torch: 2.14.0+cpu in attempt 1, 2.15.0+cpu here"
    ]
    assert said(expected(attempt(replace(HERE, threads=4)), attempt(replace(HERE, threads=4), 2))) == [
        "threads: 4 in attempts 1, 2, 2 here"
    ]


def test_an_attempt_without_environment_uses_the_packages_of_its_start_and_assumes_the_rest() -> None:
    found = expected(attempt(None), starts=[START])
    assert said(found) == []
    assert not found.bit_equal
    assert found.assumed[:2] == ["threads (2)", "CPU model (AMD EPYC)"]
    older = {**START, "packages": {"convnn-sweeps": "0.2.0", "torch": "2.14.0"}}
    later = {**START, "at": "1970-01-01T00:00:15Z"}
    found = expected(attempt(None), attempt(None, 2), starts=[older, later])
    assert said(found) == ["torch: 2.14.0 in attempt 1, 2.15.0+cpu here"]
    assert expected(attempt(None)).assumed == expected(attempt(None), starts=[{"packages": 3}]).assumed


def test_a_note_says_that_0_1_0_trained_with_other_numerics() -> None:
    found = expected(attempt(None), starts=[{**START, "packages": {"convnn-sweeps": "0.1.0"}}])
    assert "version of the numerics: 1 in attempt 1, 2 here" in said(found)
    assert any("Numbers changed once" in note for note in found.notes)


def test_equal_bits_are_not_expected_for_trials_of_a_gpu() -> None:
    for known in (attempt(HERE, device="NVIDIA H200", gpus=0.5), attempt(None, device=None, gpus=0.5)):
        found = expected(known)
        assert not found.bit_equal
        assert "is replayed on the CPU" in found.notes[0]
    found = expected(attempt(HERE, device="NVIDIA H200"), device="NVIDIA H200")
    assert (found.bit_equal, said(found)) == (False, [])
    assert "sums in a different order each time" in found.notes[0]


def test_the_number_of_threads_is_the_recorded_or_the_requested_one() -> None:
    assert threads_of([attempt(HERE), attempt(replace(HERE, threads=7), 2)], 5) == 2
    assert threads_of([attempt(None)], 5) == 3
    assert threads_of([replace(attempt(None), cpus=0)], 5) == 5
