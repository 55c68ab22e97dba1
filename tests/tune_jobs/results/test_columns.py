from search_spaces import TrialConfig
from tune_jobs.results.columns import axes, params, varying


def test_params_are_the_papers_parameters_then_all_other_fields_by_path_each_once() -> None:
    content = {"model": {"name": "vgg11", "layer": {"kind": "hybrid", "lambda": 0.5}}, "training": {"lr": 0.5}}
    found = params(TrialConfig.model_validate(content))
    assert list(found.items())[:6] == [
        ("lambda", "0.5"),
        ("k", "9"),
        ("r", "none"),
        ("p", "1"),
        ("aggregation", "standard"),
        ("lr", "0.5"),
    ]
    assert not {"model.layer.lambda", "model.layer.k", "model.layer.patch", "training.lr"} & found.keys()
    assert found["model.layer.candidates.kind"] == "all"
    assert (found["data.root"], found["training.compile"]) == ("none", "False")


def hybrid(ratio: float, **training: object) -> TrialConfig:
    layer = {"kind": "hybrid", "lambda": ratio, "k": 4}
    return TrialConfig.model_validate({"model": {"name": "vgg11", "layer": layer}, "training": training})


def test_fields_that_every_configuration_has_are_axes() -> None:
    configs = [hybrid(0.25, lr=0.1), hybrid(0.5, lr=0.2, optimizer="sgd"), hybrid(0.75)]
    assert {column.key: column.axis for column in axes(configs, varying(configs))} == {
        "lambda": "lambda",
        "lr": "lr",
        "training.optimizer": "training.optimizer",
    }


def test_fields_that_some_configurations_lack_are_not_axes() -> None:
    convolution = TrialConfig.model_validate({"model": {"name": "vgg11", "layer": {"kind": "conv2d"}}})
    configs = [hybrid(0.0), hybrid(0.5), convolution]  # with lambda 0 only a convolution remains
    found = {column.key: column.axis for column in axes(configs, varying(configs))}
    assert found["kind"] == "model.layer.kind"
    assert found["k"] is None
