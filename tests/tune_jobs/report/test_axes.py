import math

from search_spaces import TrialConfig, parse_sweep
from search_spaces.domains import Choice, FloatRange, IntRange
from tests.tune_jobs.report.drawn import FILE
from tune_jobs.report.axes import declared, parameters, scale_of
from tune_jobs.results.columns import varying
from tune_jobs.results.row import Row


def test_parameters_of_different_models_with_the_same_name_are_distinguished() -> None:
    models = {
        "vgg": {"name": "vgg11", "layer": {"kind": "conv2d"}},
        "vgg hybrid": {"name": "vgg11", "layer": {"kind": "hybrid", "lambda": 0.5, "k": 4}},
        "vit": {"name": "vit_tiny", "attention": {"kind": "attention"}},
        "vit convnn": {"name": "vit_tiny", "attention": {"kind": "convnn", "k": 4}},
    }
    trials = [
        Row(number, key, "complete", None, None, 1, 0.5, {}, TrialConfig.model_validate({"model": model}))
        for number, (key, model) in enumerate(models.items(), 1)
    ]
    found = {
        parameter.name: parameter.values for parameter in parameters(trials, varying(row.config for row in trials), {})
    }
    assert found["kind"] == {"vgg": "conv2d", "vgg hybrid": "hybrid", "vit": "attention", "vit convnn": "convnn"}
    assert found["model"]["vit"] == "vit_tiny"
    assert {"model.layer.padding", "model.attention.heads"} & {*found} == set()


def test_numbers_that_do_not_recur_are_placed_on_a_numeric_axis() -> None:
    assert scale_of([0.001, 0.002, 0.004]).places == {0.001: 0.001, 0.002: 0.002, 0.004: 0.004}
    assert scale_of([1e-5, 1e-3, 1e-4]).places == {1e-5: -5, 1e-4: -4, 1e-3: -3}
    assert scale_of([4, 9, 9, None]).places == {None: 0, 4: 1, 9: 2}


def test_declared_domains_are_found_by_column_across_branches() -> None:
    found = declared(parse_sweep(FILE).space.root)
    assert found["kind"] == Choice(("conv2d", "hybrid"))
    assert found["candidates"] == Choice(("all", "random"))
    assert found["k"] == Choice((4, 9))
    assert found["r"] == IntRange(16, 256)
    assert found["lr"] == FloatRange(1e-5, 1e-2, log=True)


def test_a_declared_range_is_the_axis_with_labels_at_both_ends() -> None:
    scale = scale_of([1e-4, 2e-4, None], FloatRange(1e-5, 1e-2, log=True))
    assert scale.places[1e-4] == -4
    assert (scale.labels[1], scale.labels[-1]) == ("1e-05", "0.01")
    assert scale.ends[1] == -2
    assert scale.places[None] < -5  # apart from all numbers
    assert scale_of([1e-4, 1e-1], FloatRange(0.0, 0.5)).ends == [0.0, 0.5]  # wide, but not declared logarithmic


def test_without_a_declaration_the_observed_ends_have_labels_without_overlap() -> None:
    scale = scale_of([0.0123, 0.0997, 0.05])
    assert (scale.labels[0], scale.labels[-1]) == ("0.0123", "0.0997")
    gaps = [b - a for a, b in zip(scale.ticks, scale.ticks[1:], strict=False)]
    assert min(gaps) > 0.05 * (scale.ticks[-1] - scale.ticks[0])
    assert math.isclose(scale.range[0], 0.0123 - 0.04 * (0.0997 - 0.0123))


def test_words_are_in_the_order_of_their_declaration() -> None:
    of = ["cosine", "euclidean", "older", None]
    assert scale_of(of, Choice(("euclidean", "cosine"))).labels == ["none", "euclidean", "cosine", "older"]
