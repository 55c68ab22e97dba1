"""What the sampler learns from configurations that cannot run."""

import random
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from search_spaces import Decided, SweepSpec, TrialConfig, parse_sweep
from search_spaces.settings import RandomSearch
from tests.tune_jobs.search.recorded import Recorded
from tests.tune_jobs.search.simulated import job_of, opened
from tune_jobs.events import Ended, EpochEnded, Job
from tune_jobs.search.queue import Search
from tune_jobs.search.study import Study

ROOT = Path(__file__).parents[3]
NARROW = ("7 <= k <= 10", "0.05 <= lambda <= 0.3")
COUPLED = ("3 * k <= r", "r <= 14 * k", "k * lambda >= 7", "lr * r <= 0.05")


@cache
def spec(rules: tuple[str, ...], seed: int = 0) -> SweepSpec:
    return parse_sweep(f"""
name: few-valid
space:
  model:
    layer:
      kind: hybrid
      lambda: {{uniform: [0, 1]}}
      k: {{int: [1, 20]}}
      candidates: {{kind: random, r: {{int: [8, 256], log: true}}, when_too_few: all}}
  training: {{lr: {{log_uniform: [1.0e-5, 1.0e-2]}}, epochs: 1}}
constraints: {list(rules)}
search: {{sampler: tpe, trials: 200, seed: {seed}}}
""")


def value_of(config: TrialConfig) -> float:
    k: int = getattr(config.model.mixing_layer, "k", 0)
    return 1 - abs(config.training.lr - 1e-3) * 50 - abs(k - 9) / 40


def outcomes(sweep: SweepSpec, many: int) -> list[str]:
    """What became of so many asks, where each valid configuration is trained before the next ask."""
    search, found = Search(sweep), list[str]()
    while len(found) < many:
        proposal = search.propose()
        found += [asked.outcome for asked in proposal.asked]
        assert proposal.start is not None
        job = Job(proposal.start.run_key, 1, proposal.start.number, proposal.start.config)
        search.tell(EpochEnded(job, 1, {"val/accuracy": value_of(job.config)}))
        search.tell(Ended(job, "complete", None))
    return found[:many]


@pytest.mark.parametrize("rules", [NARROW, COUPLED], ids=["narrow", "coupled"])
def test_where_one_point_in_twenty_is_valid_most_asks_soon_are(rules: tuple[str, ...]) -> None:
    space, rng = spec(rules).space, random.Random(0)
    draws = (space.resolve(Decided(space.draw(rng))) for _ in range(1000))
    assert 0.03 < sum(not any(space.infeasibilities(config)) for config in draws) / 1000 < 0.07
    for seed in range(3):
        assert outcomes(spec(rules, seed), 200)[100:].count("infeasible") < 50


def next_asks(search: Recorded, trials: int) -> None:
    for _ in range(trials):
        job = job_of(search)
        search.report(job, 1, {"val/accuracy": value_of(job.config)})
        search.end(job, "complete")


def test_a_search_that_is_rebuilt_asks_what_it_would_have_and_its_record_stays(tmp_path: Path) -> None:
    sweep = spec(NARROW)
    with opened(tmp_path / "whole.db") as whole, opened(tmp_path / "cut.db") as cut:
        next_asks(Recorded(sweep, whole), 24)
        for _ in range(3):
            next_asks(Recorded(sweep, cut), 8)
        asks = cut.asks()
        assert [(ask.decisions, ask.outcome) for ask in asks] == [(ask.decisions, ask.outcome) for ask in whole.asks()]
        told = Recorded(sweep, cut).study.trials
        assert [trial.params for trial in told] == [ask.decisions for ask in asks]


def test_the_start_is_random_until_a_trial_has_ended_however_many_draws_are_infeasible() -> None:
    told, random_one = (
        Study(spec(NARROW)),
        Study(replace(spec(NARROW), search=RandomSearch(sampler="random", trials=9))),
    )
    for _ in range(30):
        answer, other = told.ask(), random_one.ask()
        assert answer is not None
        assert other is not None
        assert answer.decisions == other.decisions
        told.refuse(answer)


WARNED = """
from tests.tune_jobs.search.test_infeasible_draws import NARROW, outcomes, spec
print(outcomes(spec(NARROW), 60).count("infeasible"))
"""


def test_no_warning_of_optuna_reaches_a_user() -> None:
    command = [sys.executable, "-W", "always", "-c", WARNED]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) < 60
    assert "optuna" not in done.stderr.lower()
    assert "experimental" not in done.stderr.lower()
