"""Properties of every registered stopping rule."""

import math
import random
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import get_args

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import SweepSpec, TrialConfig, parse_sweep
from search_spaces.settings import RULES, NoStopping, RandomSearch, Stopping
from tests.search_spaces.strategies import fixed
from tune_jobs.events import Ended, EpochEnded, Job
from tune_jobs.record.rows import Ask, Attempt, Epoch, State, Trial
from tune_jobs.search.base import Past
from tune_jobs.search.queue import Search
from tune_jobs.search.registry import rule_of

EPOCHS, TRIALS, AT_ONCE = 9, 7, 3
MANY = 24
"""Number of trials with which even `auto` has learned enough to stop some."""

SMALL: dict[str, dict[str, float]] = {
    "median": {"startup_trials": 2},
    "patience": {"patience_epochs": 2, "min_delta": 0.1},
}
"""Settings with which a rule can act within so few epochs and trials; other rules have their defaults."""

Curves = Sequence[Sequence[float]]
ODD = [0.0, 0.25, 0.5, 0.75, 1.0, math.nan, math.inf, -math.inf]
curves = st.lists(
    st.lists(st.sampled_from(ODD) | st.floats(0, 1), min_size=EPOCHS, max_size=EPOCHS),
    min_size=TRIALS,
    max_size=TRIALS,
)


def named(kind: type[Stopping]) -> Stopping:
    (name,) = get_args(kind.model_fields["kind"].annotation)
    return kind.model_validate({"kind": name, **SMALL.get(name, {})})


each_rule = pytest.mark.parametrize("rule", [named(kind) for kind in RULES.classes()], ids=lambda rule: rule.kind)


@cache
def space(metric: str) -> SweepSpec:
    return parse_sweep(f"""
name: rules
space:
  model: {{layer: {{kind: hybrid, lambda: {{uniform: [0.25, 0.75]}}, k: {{int: [2, 9]}}}}}}
  training: {{epochs: {EPOCHS}}}
objective: {{metric: {metric}}}
search: {{sampler: random, trials: {TRIALS}}}
""")


def spec(rule: Stopping, metric: str = "val/accuracy", trials: int = TRIALS) -> SweepSpec:
    return replace(space(metric), stopping=rule, search=RandomSearch(sampler="random", trials=trials))


def settled() -> Curves:
    """Curves whose ranks are settled from the first epoch on."""
    rng = random.Random(5)
    tops = [rng.uniform(0.3, 0.9) for _ in range(MANY)]
    return [[top * (1 - 0.6**epoch) for epoch in range(1, EPOCHS + 1)] for top in tops]


@dataclass
class Record:
    """The data that a driver would have recorded."""

    asks: list[Ask] = field(default_factory=list)
    epochs: list[Epoch] = field(default_factory=list)
    trials: dict[str, tuple[TrialConfig, State, int | None]] = field(default_factory=dict)

    @property
    def seq(self) -> int:
        ends = sum(seq is not None for _, _, seq in self.trials.values())
        return len(self.asks) + len(self.epochs) + ends + 1

    def end(self, key: str, state: State) -> None:
        self.trials[key] = (self.trials[key][0], state, self.seq)

    def past(self, excluded: Collection[str] = ()) -> Past:
        trials = [
            Trial(key, number, config, state, seq, None, 0)
            for number, (key, (config, state, seq)) in enumerate(self.trials.items(), 1)
        ]
        attempts = [
            Attempt(trial.run_key, 1, trial.state, 0, None, None, None, 0, None, 0, 0, 1, None, None)
            for trial in trials
        ]
        return Past(self.asks, trials, attempts, self.epochs, excluded=excluded)


@dataclass
class Played:
    """A search that trains `AT_ONCE` trials alternately; trial n has the values `curves[n - 1]`."""

    spec: SweepSpec
    curves: Curves
    cut_off: bool = False
    """Whether the search is rebuilt after every record."""

    record: Record = field(default_factory=Record)
    excluded: Collection[str] = ()
    decisions: list[tuple[int, int, bool]] = field(default_factory=list)
    """Trial, epoch and whether it is stopped there, in order."""

    def __post_init__(self) -> None:
        self.search = Search(self.spec, self.record.past(self.excluded))
        running: deque[tuple[Job, int]] = deque()
        while True:
            while len(running) < AT_ONCE and (job := self.new_job()) is not None:
                running.append((job, 1))
            if not running:
                return
            job, epoch = running.popleft()
            if not self.ends(job, epoch):
                running.append((job, epoch + 1))
            if self.cut_off:
                assert not self.rebuild()
                due = {start.run_key for _ in running if (start := self.search.propose().start) is not None}
                assert due == {job.run_key for job, _ in running}

    def rebuild(self) -> list[tuple[str, str | None]]:
        self.search = Search(self.spec, self.record.past(self.excluded))
        return [(each.run_key, each.stopped_by) for each in self.search.settled]

    def new_job(self) -> Job | None:
        proposal = self.search.propose()
        for asked in proposal.asked:
            number = len(self.record.asks)
            self.record.asks.append(Ask(number, self.record.seq, asked.decisions, asked.outcome, asked.run_key))
            if asked.config is not None and asked.run_key is not None:
                self.record.trials[asked.run_key] = (asked.config, "running", None)
        start = proposal.start
        return None if start is None else Job(start.run_key, 1, start.number, start.config)

    def ends(self, job: Job, epoch: int) -> bool:
        metrics: dict[str, float] = {self.spec.metric: self.curves[job.number - 1][epoch - 1]}
        self.record.epochs.append(Epoch(self.record.seq, job.run_key, 1, epoch, 0, metrics))
        stops = bool(self.search.tell(EpochEnded(job, epoch, metrics)))
        self.decisions.append((job.number, epoch, stops))
        ends = stops or epoch == EPOCHS
        if self.cut_off:  # also before the end is recorded
            assert self.rebuild() == ([(job.run_key, "rule" if stops else None)] if ends else [])
        if ends:
            self.record.end(job.run_key, "stopped" if stops else "complete")
            self.search.tell(Ended(job, "stopped" if stops else "complete", None))
        return ends

    @property
    def last_epochs(self) -> dict[int, int]:
        return {trial: epoch for trial, epoch, _ in self.decisions}


@each_rule
@settings(fixed, max_examples=2)
@given(curves=curves)
def test_a_search_rebuilt_at_any_record_stops_the_same_trials_at_the_same_epochs(
    rule: Stopping, curves: Curves
) -> None:
    once = Played(spec(rule), curves)
    assert once.decisions == Played(spec(rule), curves).decisions
    assert once.decisions == Played(spec(rule), curves, cut_off=True).decisions


@each_rule
@settings(fixed, max_examples=6)
@given(curves=curves)
def test_minimizing_the_negated_metric_decides_the_same(rule: Stopping, curves: Curves) -> None:
    negated = [[-value for value in curve] for curve in curves]
    assert Played(spec(rule), curves).decisions == Played(spec(rule, "val/loss"), negated).decisions


@each_rule
def test_with_settled_ranks_each_rule_stops_the_same_trials_also_rebuilt_and_minimized(rule: Stopping) -> None:
    curves = settled()
    once = Played(spec(rule, trials=MANY), curves).decisions
    assert any(stops for _, _, stops in once) == (rule.kind != "none")
    if rule.kind == "auto":  # it stops no trial in the short searches of the test above
        assert once == Played(spec(rule, trials=MANY), curves, cut_off=True).decisions
    negated = [[-value for value in curve] for curve in curves]
    assert once == Played(spec(rule, "val/loss", trials=MANY), negated).decisions


@each_rule
@settings(fixed, max_examples=6)
@given(curves=curves)
def test_no_trial_counts_as_stopped_at_its_last_epoch(rule: Stopping, curves: Curves) -> None:
    found = Played(spec(rule), curves)
    assert not [number for number, epoch, stops in found.decisions if stops and epoch == EPOCHS]
    assert {state for _, state, _ in found.record.trials.values()} <= {"complete", "stopped"}
    assert len(found.record.trials) == TRIALS


@each_rule
@pytest.mark.parametrize("value", [0.5, math.nan, math.inf])
def test_constant_and_equal_curves_get_the_same_decisions_for_both_goals(rule: Stopping, value: float) -> None:
    curves = [[value] * EPOCHS] * TRIALS
    found = Played(spec(rule), curves, cut_off=True).decisions
    assert found == Played(spec(rule, "val/loss"), [[-value] * EPOCHS] * TRIALS).decisions


@each_rule
@settings(fixed, max_examples=6)
@given(curves=curves, place=st.integers(0, TRIALS - 1))
def test_nan_is_never_better_than_the_worst_value(rule: Stopping, curves: Curves, place: int) -> None:
    finite = [[value if math.isfinite(value) else 0.5 for value in curve] for curve in curves]
    last = [
        Played(spec(rule), [*finite[:place], [value] * EPOCHS, *finite[place + 1 :]]).last_epochs[place + 1]
        for value in (math.nan, -1.0)
    ]
    assert last[0] <= last[1]


@each_rule
@settings(fixed, max_examples=2)
@given(curves=curves)
def test_the_values_of_an_excluded_trial_do_not_matter(rule: Stopping, curves: Curves) -> None:
    decisions = []
    for value in (0.0, 1.0, math.nan):
        seen = [[value] * EPOCHS, *curves[1:]]
        begun = replace(spec(NoStopping()), search=RandomSearch(sampler="random", trials=4))
        record = Played(begun, seen).record
        excluded = frozenset([next(iter(record.trials))])
        decisions.append(Played(spec(rule), seen, record=record, excluded=excluded).decisions)
    assert decisions[0] == decisions[1] == decisions[2]
    assert {number for number, _, _ in decisions[0]} == set(range(5, TRIALS + 1))


@each_rule
def test_the_order_in_which_epochs_are_stored_does_not_matter(rule: Stopping) -> None:
    rng = random.Random(0)
    for _ in range(20):
        values = [[rng.choice([0.0, 0.5, 1.0, math.nan]) for _ in range(4)] for _ in range(6)]
        answers = []
        for step in (1, -1):
            study = optuna.create_study(study_name="x", direction="maximize")
            *others, own = (dict(list(enumerate(each, 1))[::step]) for each in values)
            for other in others:
                study.add_trial(optuna.create_trial(value=0.0, intermediate_values=other))
            study.ask()
            trial = study.trials[-1]
            trial.intermediate_values = own
            answers.append(rule_of(rule, spec(rule).space).stops(study, trial))
        assert answers[0] == answers[1]
