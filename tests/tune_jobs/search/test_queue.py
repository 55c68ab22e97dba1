"""The proposals of a search to its end, which are the same after a rebuild from its ledger."""

from pathlib import Path
from typing import Any

import pytest

from search_spaces import Decided, canonical, parse_sweep, run_key
from search_spaces.models.vgg import HybridLayer
from tests.tune_jobs.search.recorded import Recorded
from tests.tune_jobs.search.simulated import THIRTY, accuracy, due, opened, run, spec, train
from tune_jobs.driver.limits import none_found


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_same_file_gives_the_same_trials(tmp_path: Path, sampler: str) -> None:
    sweep = spec(search=f"{{sampler: {sampler}, trials: 15, seed: 3}}")
    first, second = run(sweep, tmp_path / "a.db"), run(sweep, tmp_path / "b.db")
    assert first == second
    assert len(first) == 15
    assert run(spec(search=f"{{sampler: {sampler}, trials: 15, seed: 4}}"), tmp_path / "c.db") != first


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_search_rebuilt_from_its_ledger_continues_as_if_never_interrupted(tmp_path: Path, sampler: str) -> None:
    sweep = spec(search=f"{{sampler: {sampler}, trials: 15}}")
    whole = run(sweep, tmp_path / "whole.db")
    assert run(sweep, tmp_path / "cut.db", interrupt=True) == whole
    assert {state for _, _, state in whole} == {"complete", "stopped"}


def test_a_trial_cut_off_at_a_rung_is_still_stopped_there(tmp_path: Path) -> None:
    sweep = spec()
    with opened(tmp_path / "ledger.db") as ledger:
        search = Recorded(sweep, ledger)
        good, bad = search.next(), search.next()
        assert good is not None
        assert bad is not None
        search.report(good, 1, {"val/accuracy": 0.9})
        assert search.report(bad, 1, {"val/accuracy": 0.1})  # the driver dies before it can stop the trial
        ledger.interrupt_running()
        Recorded(sweep, ledger)
        assert [trial.state for trial in ledger.trials()] == ["interrupted", "stopped"]


def test_no_configuration_is_tried_twice_and_no_infeasible_one(tmp_path: Path) -> None:
    sweep = spec(search="{sampler: random, trials: 60}", lr="1e-3")
    trials = run(sweep, tmp_path / "ledger.db")
    assert len({key for _, key, _ in trials}) == len(trials) == 60
    with opened(tmp_path / "ledger.db") as ledger:
        outcomes = [ask.outcome for ask in ledger.asks()]
        assert outcomes.count("new") == 60
        assert outcomes.count("duplicate") > 0  # conv2d again, or an equivalent configuration
        assert outcomes.count("infeasible") > 0  # k beyond r, or beyond the smallest map
        for trial in ledger.trials():
            assert run_key(trial.config) == trial.run_key


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_finite_space_ends_when_every_configuration_was_tried(tmp_path: Path, sampler: str) -> None:
    sweep = spec(THIRTY, f"{{sampler: {sampler}, trials: 100}}", lr="1e-3")
    assert sweep.space.size() == 30
    with opened(tmp_path / "ledger.db") as ledger:
        search = Recorded(sweep, ledger)
        keys = []
        while (job := search.next()) is not None:
            keys.append(job.run_key)
            train(search, job)
        assert search.exhausted
        assert len(set(keys)) == len(keys) == 30
        assert Recorded(sweep, ledger).done


def test_a_grid_follows_the_file_and_varies_the_last_domain_fastest(tmp_path: Path) -> None:
    sweep = spec(THIRTY, "{sampler: grid}", lr="1e-3")
    with opened(tmp_path / "ledger.db") as ledger:
        search = Recorded(sweep, ledger)
        seen = []
        while (job := search.next()) is not None:
            layer = job.config.model.mixing_layer
            assert isinstance(layer, HybridLayer)
            seen.append((layer.lam, layer.k, layer.similarity))
            search.end(job, "complete")
        expected = [(a, b, c) for a in (0.25, 0.5, 0.75) for b in range(2, 7) for c in ("cosine", "euclidean")]
        assert seen == expected


TWICE = """
    layer:
      kind: convnn
      k: 4
      padding: {choice: [0, 1, 2]}
      candidates: {kind: lattice, side: 2}
"""
"""In this version, these three configurations are the same."""


def test_a_trial_recorded_under_the_key_of_an_earlier_version_is_not_tried_again(tmp_path: Path) -> None:
    sweep = spec(TWICE, "{sampler: grid}", lr="1e-3")
    with opened(tmp_path / "ledger.db") as ledger:
        for padding in (1, 2):  # as in 0.1.0: two trials with different forms and keys
            decisions: dict[str, Any] = {"space.model.layer.padding": padding}
            config = sweep.space.resolve(Decided(decisions))
            ledger.add_trial(decisions, config, f"{padding:016x}-s0")
        search = Recorded(sweep, ledger)
        jobs = due(search)
        assert [number for number, _, _ in jobs] == [1, 2]  # started trials finish under their own keys
        assert search.exhausted
        asks = [(ask.outcome, ask.run_key) for ask in ledger.asks()]
        assert asks[-1] == ("duplicate", f"{1:016x}-s0")
        assert [vars(trial.config.model.mixing_layer)["padding"] for trial in ledger.trials()] == [1, 2]


def test_repeated_epochs_are_counted_once(tmp_path: Path) -> None:
    sweep = spec()
    with opened(tmp_path / "ledger.db") as ledger:
        search = Recorded(sweep, ledger)
        job = search.next()
        assert job is not None
        search.report(job, 1, {"val/accuracy": 0.9})
        search.end(job, "interrupted")
        search = Recorded(sweep, ledger)
        again = search.next()
        assert again is not None
        search.report(again, 1, {"val/accuracy": 0.2})  # a different value than the rung has seen
        other = search.next()
        assert other is not None
        assert search.report(other, 1, {"val/accuracy": 0.5})  # below 0.9: stopped


def test_tpe_learns(tmp_path: Path) -> None:
    sweep = spec(search="{sampler: tpe, trials: 40}")
    with opened(tmp_path / "ledger.db") as ledger:
        search = Recorded(sweep, ledger)
        values = []
        while (job := search.next()) is not None:
            values.append(accuracy(job, 9))
            train(search, job)
        assert sorted(values[-15:])[7] > sorted(values[:10])[7]  # its median beats the third best of the first ten


def test_a_search_interrupted_while_it_looks_for_new_configurations_continues_the_same_way(tmp_path: Path) -> None:
    sweep = spec(THIRTY, "{sampler: random, trials: 30}", lr="1e-3")
    with opened(tmp_path / "alone.db") as alone, opened(tmp_path / "cut.db") as cut:
        whole = Recorded(sweep, alone)
        while whole.next() is not None:
            pass
        expected = alone.asks()
        last = max(ask.number for ask in expected if ask.outcome == "new")
        for ask in expected[: last - 50]:  # killed in the middle of misses, just before a uniform draw
            if ask.outcome == "new":
                config = sweep.space.resolve(Decided(ask.decisions))
                cut.add_trial(ask.decisions, canonical(config), run_key(config))
            else:
                cut.add_ask(ask.decisions, ask.outcome, ask.run_key)
        rest = Recorded(sweep, cut)
        while rest.next() is not None:
            pass
        assert [(a.decisions, a.outcome) for a in cut.asks()] == [(a.decisions, a.outcome) for a in expected]


def test_an_infinite_space_is_never_reported_as_exhausted(tmp_path: Path) -> None:
    narrow = parse_sweep("""
name: narrow
space:
  model: {layer: {kind: conv2d}}
  training: {lr: {log_uniform: [1e-4, 1e-2]}}
constraints: [lr >= 0.009999999999]
search: {sampler: random, trials: 2}
""")
    with opened(tmp_path / "ledger.db") as ledger:
        search = Recorded(narrow, ledger)
        assert search.next() is None
        assert search.gave_up
        assert not search.exhausted
        assert not ledger.meta.exhausted
    assert "configurations drawn from the space is valid and new" in none_found(narrow).message
