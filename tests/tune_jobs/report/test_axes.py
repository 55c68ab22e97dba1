from search_spaces import TrialConfig
from tune_jobs.report.axes import parameters, scale_of
from tune_jobs.results.row import Row


def test_parameters_of_different_models_that_are_called_alike_are_told_apart() -> None:
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
    found = {parameter.name: parameter.values for parameter in parameters(trials)}
    assert found["kind"] == {"vgg": "conv2d", "vgg hybrid": "hybrid", "vit": "attention", "vit convnn": "convnn"}
    assert found["model"]["vit"] == "vit_tiny"
    assert {"model.layer.padding", "model.attention.heads"} & {*found} == set()


def test_numbers_that_no_two_trials_share_lie_where_they_are() -> None:
    assert scale_of([0.001, 0.002, 0.004]).places == {0.001: 0.001, 0.002: 0.002, 0.004: 0.004}
    assert scale_of([1e-5, 1e-3, 1e-4]).places == {1e-5: -5, 1e-4: -4, 1e-3: -3}
    assert scale_of([4, 9, 9, None]).places == {None: 0, 4: 1, 9: 2}
