from search_spaces import TrialConfig
from tune_jobs.results.columns import params


def test_params_are_the_papers_then_every_other_field_by_its_path_as_text_and_none_twice() -> None:
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
