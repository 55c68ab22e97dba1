"""What the sampler learns from infeasible configurations."""

import random
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from search_spaces import Decided, SweepSpec, TrialConfig, parse_sweep
from tests.tune_jobs.search import simulated
from tests.tune_jobs.search.recorded import Recorded
from tests.tune_jobs.search.simulated import job_of, opened
from tune_jobs.events import Ended, EpochEnded, Job
from tune_jobs.search.queue import Search
from tune_jobs.search.study import Study

ROOT = Path(__file__).parents[3]
NARROW = ("7 <= k <= 10", "0.05 <= lambda <= 0.3")
PRODUCT = ("lambda * k <= 0.25",)
RARE = ("17.2 < lambda * k < 17.201", "lr > 9.0e-3")
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


def outcomes(sweep: SweepSpec, many: int, workers: int = 1) -> list[str]:
    """Return the outcomes of `many` asks, with `workers` valid configurations in training that end in turn."""
    search, found, running = Search(sweep), list[str](), list[Job]()
    while len(found) < many:
        while len(running) < workers:
            proposal = search.propose()
            found += [asked.outcome for asked in proposal.asked]
            assert proposal.start is not None
            running.append(Job(proposal.start.run_key, 1, proposal.start.number, proposal.start.config))
        job = running.pop(0)
        search.tell(EpochEnded(job, 1, {"val/accuracy": value_of(job.config)}))
        search.tell(Ended(job, "complete", None))
    return found[:many]


@pytest.mark.parametrize("workers", [1, 8])
@pytest.mark.parametrize("rules", [NARROW, COUPLED, PRODUCT], ids=["narrow", "coupled", "product"])
def test_most_asks_are_valid_even_if_only_one_configuration_in_twenty_is(rules: tuple[str, ...], workers: int) -> None:
    space, rng = spec(rules).space, random.Random(0)
    draws = (space.resolve(Decided(space.draw(rng))) for _ in range(1000))
    assert 0.03 < sum(not any(space.infeasibilities(config)) for config in draws) / 1000 < 0.07
    found = outcomes(spec(rules), 120, workers)
    assert found[:10].count("infeasible") <= 1  # one of 100 random draws is valid
    assert found[70:].count("infeasible") < 25


def next_asks(search: Recorded, trials: int) -> None:
    for _ in range(trials):
        job = job_of(search)
        search.report(job, 1, {"val/accuracy": value_of(job.config)})
        search.end(job, "complete")


def test_a_rebuilt_search_makes_the_same_asks_and_keeps_its_record(tmp_path: Path) -> None:
    sweep = spec(NARROW)
    with opened(tmp_path / "whole.db") as whole, opened(tmp_path / "cut.db") as cut:
        next_asks(Recorded(sweep, whole), 24)
        for _ in range(3):
            next_asks(Recorded(sweep, cut), 8)
        asks = cut.asks()
        assert [(ask.decisions, ask.outcome) for ask in asks] == [(ask.decisions, ask.outcome) for ask in whole.asks()]
        told = Recorded(sweep, cut).study.trials
        assert [trial.params for trial in told] == [ask.decisions for ask in asks]


def asked(sweep: SweepSpec, many: int) -> list[dict[str, Any]]:
    """Return the decisions of asks while no trial ends."""
    study, found = Study(sweep), list[dict[str, Any]]()
    for number in range(many):
        answer = study.ask()
        assert answer is not None
        study.join(str(number), answer)
        found.append(answer.decisions)
    return found


def test_if_everything_is_valid_tpe_starts_like_a_random_search() -> None:
    at_random, tpe = (
        simulated.spec(simulated.THIRTY, f"{{sampler: {name}, trials: 99}}") for name in ("random", "tpe")
    )
    assert asked(tpe, 20) == asked(at_random, 20)


def test_if_almost_nothing_is_valid_infeasible_asks_do_not_end_the_random_start() -> None:
    study, sweep = Study(spec(RARE)), spec(RARE)
    for _ in range(20):
        answer = study.ask()
        assert answer is not None
        assert any(sweep.infeasibilities(answer.config))
        study.refuse(answer)
    ks = [trial.params["space.model.layer.k"] for trial in study.trials]
    assert len(set(ks)) > 8  # TPE would have focused on a few values


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
