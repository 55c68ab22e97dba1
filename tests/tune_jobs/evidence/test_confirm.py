"""Confirmations of a small sweep, run in this process: no Ray, no torch, no images."""

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from search_spaces import TrialConfig, parse_sweep
from search_spaces.settings import Budget, Paper
from tests.tune_jobs.driver.scripted import Unseen, new_ledger
from tune_jobs.driver.limits import Halt
from tune_jobs.driver.past import past_of
from tune_jobs.driver.trials import Sweep, run_trials
from tune_jobs.errors import UsageError
from tune_jobs.evidence.arms import first_unused, ranked
from tune_jobs.evidence.confirm import Wanted, as_confirmed, openings, read_confirmed, work_of
from tune_jobs.evidence.outcome import Confirmed
from tune_jobs.executors.inline import WorkerDied, open_inline
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import Halted
from tune_jobs.results.summary import summary
from tune_jobs.search.queue import Search
from tune_jobs.system.signals import Signals
from tune_jobs.worker.reports import AttemptFailed, EpochDone, Report
from tune_jobs.worker.task import Task

SPEC = parse_sweep("""
name: searched
space:
  model: {layer: {any_of: [{kind: conv2d}, {kind: hybrid, lambda: {choice: [0.25, 0.5, 0.75]}, k: 4}]}}
  training: {epochs: 2, seed: 7}
resources: {min_free_gb: 0}
""")
ANY, NO_LIMIT = Wanted(), Budget()
Objective = Callable[[Task], Iterator[Report]]


class DriverKilled(BaseException):
    """Represents the death of the driver's process."""


def value(config: TrialConfig) -> float:
    """Return an accuracy: lambda 0.5 is really better by 4 points, and the search was lucky with 0.25."""
    lam, seed = getattr(config.model.mixing_layer, "lam", 0.0), config.training.seed
    lucky = 0.03 if lam == 0.25 and seed == 7 else 0.0
    return 0.7 + (0.04 if lam == 0.5 else 0.0) + random.Random(f"{lam} {seed}").gauss(0, 0.003) + lucky


def trains(task: Task) -> Iterator[Report]:
    assert task.evaluation.protocol == ("holdout" if task.config.training.seed == 7 else "paper")
    split = "val" if task.evaluation.protocol == "holdout" else "test"
    for epoch in range(1, task.config.training.epochs + 1):
        yield EpochDone(epoch, {f"{split}/accuracy": value(task.config) - 0.1 * (2 - epoch)})


def until_killed(reports: int) -> Objective:
    """Return an objective that trains until the driver dies after this number of reports."""
    left = iter(range(reports))

    def dies(task: Task) -> Iterator[Report]:
        for report in trains(task):
            if next(left, None) is None:
                raise DriverKilled
            yield report

    return dies


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with contextlib.closing(searched(tmp_path)) as made:
        yield made


def searched(place: Path) -> Ledger:
    """Create a sweep whose search is done."""
    made = new_ledger(place / "ledger.db")
    (place / "sweep.yaml").write_text(SPEC.text)
    assert run_trials(Sweep(SPEC, SweepFolder(place), made, Unseen(), Signals()), open_inline(trains, slots=2)) == (
        True,
        None,
    )
    return made


def confirmed(
    ledger: Ledger, wanted: Wanted = ANY, objective: Objective = trains, budget: Budget = NO_LIMIT
) -> tuple[Halt | None, Confirmed]:
    """Run the confirmation, and return why it stopped and its status."""
    folder = SweepFolder(ledger.path.parent)
    spec = replace(SPEC, budget=budget)
    sweep = Sweep(as_confirmed(spec), folder, ledger, Unseen(), Signals())
    _, halt = run_trials(sweep, open_inline(objective, slots=2), work=work_of(sweep, spec=spec, wanted=wanted))
    found = read_confirmed(folder)
    assert found is not None
    return halt, found


def test_a_really_better_configuration_is_found_and_a_lucky_one_is_not(ledger: Ledger) -> None:
    halt, found = confirmed(ledger)
    assert halt is None
    assert found.standing.over
    assert found.plan.why_baseline.startswith("the best with neither ConvNN")
    by_lambda = {each.arm.config.model.mixing_layer.lam: each for each in found.standing.candidates}  # type: ignore[attr-defined]
    better = by_lambda[0.5].difference
    assert better is not None
    assert better.verdict == "real"
    assert better.low < 0.04 < better.high
    assert found.standing.best is by_lambda[0.5]
    lucky = by_lambda[0.25].difference
    assert lucky is not None
    assert lucky.verdict != "real"
    told = {each["params"]["lambda"]: each for each in found.as_dict()["candidates"]}
    assert told[0.25]["promised"] - told[0.25]["mean"] > 0.02


def test_the_search_is_not_changed(ledger: Ledger) -> None:
    before, asks = summary("searched", ledger), ledger.asks()
    confirmed(ledger)
    after = summary("searched", ledger)
    assert [row.as_dict() for row in after.rows] == [row.as_dict() for row in before.rows]
    assert after.whole
    assert ledger.asks() == asks
    assert Search(SPEC, past_of(ledger)).done
    assert len(ledger.trials(role=None)) > len(ledger.trials()) == 4
    assert {trial.config.training.seed for trial in ledger.trials("confirm")}.isdisjoint({7})


@settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=3))
def test_a_driver_that_is_killed_anywhere_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, deaths: list[int]
) -> None:
    whole = searched(tmp_path_factory.mktemp("whole"))
    _, expected = confirmed(whole)
    killed = searched(tmp_path_factory.mktemp("killed"))
    for death in deaths:
        with contextlib.suppress(DriverKilled):
            confirmed(killed, objective=until_killed(death))
        killed.interrupt_running()
    _, found = confirmed(killed)
    assert found.standing == expected.standing
    assert found.openings == 1
    whole.close()
    killed.close()


def test_another_choice_after_the_test_set_was_opened_is_refused_or_with_again_recorded(
    ledger: Ledger,
) -> None:
    _, first = confirmed(ledger, Wanted(top=2))
    _, same = confirmed(ledger, Wanted(top=2))
    assert same.standing == first.standing
    with pytest.raises(UsageError, match=r"the test set of .* was opened on 20.* \(top 1, was 2\).*--again"):
        confirmed(ledger, Wanted(top=1))
    ran = ledger.trials(role=None)
    _, second = confirmed(ledger, Wanted(top=1, again=True))
    assert second.openings == 2
    assert second.plan.first_seed not in {trial.config.training.seed for trial in ran}
    assert [len(each.plan.candidates) for each in openings(ledger)] == [2, 1]


def test_the_baseline_can_be_a_trial_or_a_file(ledger: Ledger) -> None:
    best = ranked(summary("searched", ledger))[0]
    _, found = confirmed(ledger, Wanted(baseline=str(best.trial)))
    assert found.plan.baseline == replace(best, promised=found.plan.baseline.promised)
    assert found.standing.best is None
    other = best.config.model_copy(update={"training": best.config.training.model_copy(update={"lr": 0.05})})
    _, found = confirmed(ledger, Wanted(baseline="other.yaml", baseline_config=other, again=True))
    assert found.plan.baseline.trial is None
    assert len(found.plan.candidates) == 4


def test_a_budget_stops_a_confirmation_and_a_larger_one_lets_it_continue(ledger: Ledger) -> None:
    halt, found = confirmed(ledger, budget=Budget(trials=6))
    assert halt is not None
    assert "convnn confirm searched --set budget.trials=12" in halt.message
    assert not found.standing.over
    assert len(ledger.trials(role=None)) == 6
    halt, found = confirmed(ledger)
    assert (halt, found.standing.over) == (None, True)


@pytest.mark.parametrize("killed", [False, True])
def test_the_reason_why_the_search_stopped_early_is_kept_after_a_confirmation(ledger: Ledger, killed: bool) -> None:
    halted = ledger.meta.halted = Halted("budget", "budget.gpu_hours is used up.")
    with pytest.raises(DriverKilled) if killed else contextlib.nullcontext():
        confirmed(ledger, objective=until_killed(3) if killed else trains)
    assert ledger.meta.halted == halted
    assert (ledger.meta.champion is None) == killed


def test_a_failed_run_is_counted_and_retried_in_the_same_opening(ledger: Ledger) -> None:
    def fails(task: Task) -> Iterator[Report]:
        if getattr(task.config.model.mixing_layer, "lam", 0) == 0.75:
            return iter([AttemptFailed("user_error", "a mistake")])
        return trains(task)

    _, found = confirmed(ledger, objective=fails)
    assert found.standing.over
    assert found.failed > 0
    assert [each.state for each in found.standing.candidates].count("lost") == 1
    _, found = confirmed(ledger, Wanted(retry=True))
    assert (found.failed, found.openings) == (0, 1)
    assert all(each.state == "decided" for each in found.standing.candidates)


def test_lost_workers_are_replaced(ledger: Ledger) -> None:
    seen: set[str] = set()

    def dies_once(task: Task) -> Iterator[Report]:
        if task.run_key not in seen:
            seen.add(task.run_key)
            raise WorkerDied("lost_worker", "the worker process died")
        yield from trains(task)

    _, found = confirmed(ledger, objective=dies_once)
    assert found.standing.over
    assert found.failed == 0


def test_a_confirmation_knows_whether_the_search_used_the_test_set(ledger: Ledger) -> None:
    _, found = confirmed(ledger)
    assert not found.open_all_along
    assert as_confirmed(SPEC).evaluation == Paper(protocol="paper")
    assert (as_confirmed(SPEC).metric, as_confirmed(replace(SPEC, metric="val/loss")).metric) == (
        "test/accuracy",
        "test/loss",
    )


def test_without_complete_trials_there_is_nothing_to_confirm(tmp_path: Path) -> None:
    with contextlib.closing(new_ledger(tmp_path / "ledger.db")) as empty:
        (tmp_path / "sweep.yaml").write_text(SPEC.text)
        with pytest.raises(UsageError, match=r"no trial of .* is complete, so there is nothing to confirm"):
            confirmed(empty)
        assert openings(empty) == []


def test_seeds_are_new() -> None:
    assert first_unused({0, 7}, 16) == 8
    assert first_unused({2**31 - 1, 0, 20}, 16) == 1


def test_a_search_continued_afterwards_counts_the_trials_of_the_confirmation(ledger: Ledger) -> None:
    confirmed(ledger, Wanted(top=1))
    there = len(ledger.trials(role=None))
    past = replace(past_of(ledger), exhausted=False)  # the space has one more configuration now
    longer = parse_sweep(SPEC.text.replace("0.75]", "0.75, 1]"))
    assert not Search(replace(longer, budget=Budget(trials=there + 1)), past).held_back
    assert Search(replace(longer, budget=Budget(trials=there)), past).held_back
    start = Search(longer, past).propose().start
    assert start is not None
    ledger.add_trial({}, start.config, start.run_key)
    assert start.number == ledger.trials()[-1].number == there + 1
    with pytest.raises(UsageError, match=rf"its trials are 1 to {there + 1}\."):
        summary("searched", ledger).trial("99")
