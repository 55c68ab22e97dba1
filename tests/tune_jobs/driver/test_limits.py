import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from search_spaces import Decided, SweepSpec
from search_spaces.settings import Budget, Resources
from tests.tune_jobs.driver.by_hand import SPEC
from tune_jobs.driver.limits import budget_of_trials, by_class, halt_for_limits, none_found
from tune_jobs.failures import Failure
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger

ROOMY = replace(SPEC, resources=Resources(min_free_gb=0))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with contextlib.closing(Ledger(tmp_path / "ledger.db", create=True)) as opened:
        yield opened


def end(ledger: Ledger, key: str, failure: Failure | None = None) -> None:
    """Add a trial that has ended with this failure, or is complete."""
    ledger.add_trial({}, SPEC.space.resolve(Decided(next(SPEC.space.points()))), key)
    attempt = ledger.start_attempt(key)
    ledger.end_attempt(key, attempt, "failed" if failure else "complete", None, failure)


def halted(spec: SweepSpec, ledger: Ledger, *, failures: bool = True) -> tuple[str, int, bool] | None:
    halt = halt_for_limits(spec, SweepFolder(ledger.path.parent), ledger, failures=failures)
    return (halt.cause, halt.exit_code, halt.patient) if halt else None


def test_nothing_stops_a_sweep_within_its_limits(ledger: Ledger) -> None:
    assert halted(ROOMY, ledger) is None


@pytest.mark.parametrize("field", ["gpu_hours", "cpu_hours", "wall_hours"])
def test_a_used_up_budget_of_hours_stops_the_sweep_after_its_running_epochs(ledger: Ledger, field: str) -> None:
    end(ledger, "a")
    attempt = ledger.start_attempt("a", gpus=0.5, cpus=2)
    spec = replace(ROOMY, budget=Budget(**{field: 1}))
    ledger.charge({("a", attempt): 1700}, 3500)
    assert halted(spec, ledger) is None
    ledger.charge({("a", attempt): 7200}, 200)
    assert halted(spec, ledger) == ("budget", 5, True)
    halt = halt_for_limits(spec, SweepFolder(ledger.path.parent), ledger)
    assert halt is not None
    assert f"convnn resume by-hand --set budget.{field}=2" in halt.message


def test_too_little_disk_space_pauses_a_sweep(ledger: Ledger) -> None:
    assert halted(replace(SPEC, resources=Resources(min_free_gb=1e9)), ledger) == ("disk", 1, False)


def test_too_many_failed_trials_stop_a_sweep_once_five_have_ended(ledger: Ledger) -> None:
    for key in "abc":
        end(ledger, key, "oom")
    end(ledger, "d")
    assert halted(ROOMY, ledger) is None
    end(ledger, "e")
    assert halted(ROOMY, ledger) == ("failures", 1, False)
    assert halted(ROOMY, ledger, failures=False) is None  # while they are retried
    assert by_class(ledger) == "3 oom"
    for key in "fg":
        end(ledger, key)
    assert halted(ROOMY, ledger) is None


def test_a_request_to_pause_is_a_patient_stop_by_sigterm(ledger: Ledger) -> None:
    SweepFolder(ledger.path.parent).pause_file.touch()
    assert halted(ROOMY, ledger) == ("signal", 143, True)


def test_a_used_up_budget_of_trials_and_a_failed_search_say_how_to_continue() -> None:
    halt = budget_of_trials(replace(SPEC, budget=Budget(trials=4)))
    assert (halt.cause, halt.exit_code) == ("budget", 5)
    assert "--set budget.trials=8" in halt.message
    assert none_found(SPEC).cause == "space"
