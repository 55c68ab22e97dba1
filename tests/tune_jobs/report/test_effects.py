"""A page claims about a field only what its trials support."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from search_spaces import parse_sweep
from tests.tune_jobs.report.drawn import Sweep, words
from tests.tune_jobs.report.hostile import HARMLESS, HOSTILE, Structure
from tests.tune_jobs.report.made import (
    FILE,
    NESTED,
    Formula,
    claims,
    effects,
    field,
    lam,
    noise,
    pool,
    searched,
    with_values,
)
from tune_jobs.record.rows import BY_HAND, BY_THE_RULE
from tune_jobs.report import write_report
from tune_jobs.report.data import read_data
from tune_jobs.report.figures import plots_of
from tune_jobs.report.findings import finding
from tune_jobs.report.page import page
from tune_jobs.results.row import Row

POOL = pool(200)


def likely(of: int, share: float = 0.05) -> int:
    """The number of false claims that a page with this error rate exceeds in at most 1 of 100 such tests."""
    return int(stats.binom.ppf(0.99, of, share))


def some(trials: int, seed: int) -> list[Row]:
    return random.Random(seed).sample(POOL, trials)


@pytest.mark.parametrize("scatter", ["alike", "collapses", "by learning rate"])
def test_at_most_one_page_in_twenty_claims_an_effect_without_one(scatter: str) -> None:
    rng = np.random.default_rng(1)

    def value(row: Row) -> float:
        if scatter == "collapses" and rng.random() < 0.1:
            return 0.1
        return float(rng.normal(0.8, 0.05 if scatter == "by learning rate" and row.config.training.lr > 1e-3 else 0.01))

    false = sum(claims(with_values(some(40, seed), value)) for seed in range(70))
    assert false <= likely(70)


def test_the_same_holds_if_the_sampler_learns_from_noise() -> None:
    false = sum(
        claims(searched(parse_sweep(FILE, overrides=[f"search.seed={seed}"]), noise(seed))) for seed in range(25)
    )
    assert false <= likely(25)


def worse_at_half(seed: int) -> Formula:
    """4 points worse at lambda 0.5; the learning rate matters, too."""
    one = noise(seed, sd=0.01)
    return lambda row: one() - 0.04 * (lam(row) == 0.5) - 0.03 * abs(math.log10(row.config.training.lr) + 3)


def test_a_clear_effect_is_found_and_its_interval_contains_it() -> None:
    found = held = 0
    for seed in range(40):
        of = field(effects(with_values(some(60, seed), worse_at_half(seed))), "lambda")
        effect = of.values[2].effect
        found += of.worse == [2]
        held += effect is not None and effect.low <= -0.04 <= effect.high
    assert found >= 36
    assert held >= 36


def test_the_sentence_names_equal_values_and_by_how_much_the_others_are_worse() -> None:
    one = noise(0, sd=0.01)
    found = effects(with_values(some(80, 0), lambda row: one() - 0.05 * (lam(row) == 0.5)))
    first = found.fields[0]
    assert first.name == "lambda"  # fields with a finding come first
    effect = first.values[2].effect
    assert effect is not None
    best = first.values[first.reference or 0].label
    assert finding(found, first) == (
        f"lambda 0.125 and 0.25 cannot be told apart; 0.5 is worse than {best}, "
        f"by {-100 * effect.high:.1f} to {-100 * effect.low:.1f} points."
    )
    level = finding(found, field(found, "similarity"))
    assert level.startswith("similarity cosine and euclidean cannot be told apart: no two of them differ by more than ")


def test_a_higher_loss_is_worse() -> None:
    one = noise(0, sd=0.01)
    rows = with_values(some(80, 0), lambda row: one() + 0.5 * (lam(row) == 0.125))
    found = effects(rows, metric="val/loss", goal="minimize")
    assert "; 0.125 is worse than 0." in (said := finding(found, found.fields[0]))
    assert "points" not in said
    assert found.fields[0].values[0].best == min(row.value or 0 for row in rows if lam(row) == 0.125)


def test_a_range_is_binned_by_quantiles_with_equal_numbers_together() -> None:
    of = field(effects(POOL), "lr")
    assert [value.tried for value in of.values] == [67, 66, 67]
    lrs = sorted(row.config.training.lr for row in POOL)
    assert of.values[0].label == f"{lrs[0]:.3g} to {lrs[66]:.3g}"
    assert of.values[2].label == f"{lrs[133]:.3g} to {lrs[-1]:.3g}"


def stopped(rows: list[Row], how: str, *which: float) -> list[Row]:
    """Stop every second trial with these lambdas."""
    seen = dict.fromkeys(which, 0)
    found = []
    for row in rows:
        if lam(row) in seen:
            seen[lam(row)] += 1
            if seen[lam(row)] % 2:
                row = replace(row, state="stopped", reason=how)  # noqa: PLW2901
        found.append(row)
    return found


def test_trials_selected_by_a_rule_are_not_compared() -> None:
    one = noise(0, sd=0.01)
    rows = with_values(some(90, 0), lambda row: one() - 0.05 * (lam(row) == 0.5))
    found = effects(stopped(rows, BY_THE_RULE, 0.5))
    of = field(found, "lambda")
    assert of.worse == []
    assert all(value.effect is None for value in of.values)
    assert "so the complete ones are a selection" in finding(found, of)
    last = of.values[2]
    assert last.tried == last.complete + last.stopped
    assert last.stopped == (last.tried + 1) // 2
    by_hand = field(effects(stopped(rows, BY_HAND, 0.5)), "lambda")
    assert by_hand.values[2].stopped == 0
    assert by_hand.why_none == "selected"


def test_if_all_values_were_stopped_equally_complete_trials_are_compared() -> None:
    one = noise(0, sd=0.01)
    rows = with_values(some(120, 0), lambda row: one() - 0.05 * (lam(row) == 0.5))
    found = effects(stopped(rows, BY_THE_RULE, 0.125, 0.25, 0.5))
    of = field(found, "lambda")
    assert of.worse == [2]
    assert finding(found, of).startswith("Among trials that ran to the end, lambda ")


def test_a_configuration_counts_once_and_an_excluded_trial_not_at_all() -> None:
    first, second, *rest = some(30, 0)
    with_seed = first.config.model_copy(update={"training": first.config.training.model_copy(update={"seed": 7})})
    rows = [
        replace(first, value=0.9),
        replace(first, run_key="again", repeat_of=first.run_key, repeat=7, config=with_seed, value=0.7),
        replace(second, value=0.99, excluded="wrong images"),
        *(replace(row, value=0.6) for row in rest),
        replace(rest[0], run_key="nan", config=second.config, state="diverged", value=float("nan")),
    ]
    found = effects(rows)
    of = field(found, "lambda").values[[0.125, 0.25, 0.5].index(lam(first))]
    assert of.best == pytest.approx(0.8)
    assert found.complete == 29
    assert sum(value.tried for value in field(found, "lambda").values) == 30
    assert sum(value.lost for value in field(found, "lambda").values) == 1
    assert all((value.best or 0) <= 0.8 for value in field(found, "lambda").values)


def test_too_few_trials_give_no_conclusion_and_say_how_many_are_needed() -> None:
    one = noise(0, sd=0.001)
    for trials in range(1, 40):
        found = effects(with_values(some(trials, 0), lambda row: one() - 0.3 * (lam(row) == 0.5)))
        for of in found.fields:
            if of.why_none == "few":
                assert trials < of.needed
                assert f"too few complete trials: {trials}, but {of.needed} are needed." in finding(found, of)
    assert not any(of.why_none for of in found.fields)


def test_the_kind_of_layer_is_compared_though_only_one_kind_has_lambdas() -> None:
    one = noise(0, sd=0.01)
    found = effects(with_values(pool(80, NESTED), lambda row: one() - 0.05 * (row.fields["kind"] == "conv2d")))
    kind, lambdas = field(found, "kind"), field(found, "lambda")
    (effect,) = (value.effect for value in kind.values if value.effect is not None)
    assert effect.low <= -0.05 <= effect.high
    assert kind.worse
    assert "each value of lambda has only one value of kind, whose effect is included" in finding(found, lambdas)


def test_equal_values_have_no_effect() -> None:
    assert not claims(with_values(some(60, 0), lambda row: 0.1 + 0 * lam(row)))


def test_the_page_and_json_have_the_sentences_and_the_counts(sweep: Sweep) -> None:
    one = noise(0, sd=0.01)
    for _ in range(60):
        point = sweep.spec.space.draw(sweep.rng)
        value = one() - 0.2 * (point["space.model.layer"] == "conv2d")
        sweep.trial([value / 2] * 8 + [value], "complete", point=point, epoch_s=2.0)
    sweep.trial([0.5], "failed", "CUDA out of memory", "oom")
    written = write_report(sweep.folder, measure_s=0).as_dict()["effects"]
    said = words(written_page := sweep.folder.report.read_text("utf-8"))
    assert said.index("What did it show? ") < said.index("Learning curves")
    kind = next(each for each in written["fields"] if each["name"] == "kind")
    assert f"kind {kind['finding']}" in said
    assert "conv2d is worse than hybrid, by " in kind["finding"]
    assert "60 complete trials" in said
    for value in kind["values"]:
        assert value["epoch_s"] == 2.0
        assert f'<td>{value["label"]}</td>\n<td class="n">{value["tried"]}</td>' in written_page


def test_hostile_names_of_fields_and_values_are_text(sweep: Sweep) -> None:
    for _ in range(40):
        sweep.trial([0.5] * 9, "complete")
    data = read_data(sweep.folder, 0, lambda _: None)

    def drawn(text: str) -> Structure:
        fields = [
            replace(each, name=text, values=[replace(value, label=text) for value in each.values], carried=[text])
            for each in data.effects.fields
        ]
        again = replace(data)
        again.__dict__["effects"] = replace(data.effects, fields=fields)
        return Structure(page(again, plots_of(again)))

    hostile = drawn(HOSTILE)
    assert hostile.elements == drawn(HARMLESS).elements
    assert HOSTILE in hostile.text
