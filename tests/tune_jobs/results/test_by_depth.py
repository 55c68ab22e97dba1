"""Columns of tables and MLflow for layers by depth."""

from dataclasses import replace
from typing import Any, Literal

import pytest

from search_spaces import Decided, TrialConfig, canonical, load_sweep, parse_sweep
from search_spaces.base import Config
from search_spaces.domains import Choice
from search_spaces.models import MODELS, MixingLayer, ModelConfig
from tests.tune_jobs.simulate.playing import table
from tune_jobs.errors import UsageError
from tune_jobs.record.rows import Trial
from tune_jobs.report.axes import declared
from tune_jobs.results.columns import axes, chosen, constants, fields, in_a_line, params, possible, varying
from tune_jobs.results.recorded.matching import Runs
from tune_jobs.results.recorded.table import RecordedRun
from tune_jobs.tracking.names import run_name

GROUPS = ("conv1-conv2", "conv3-conv4", "conv5-conv8")


def trial(*lambdas: float, **options: Any) -> TrialConfig:
    """Return a configuration with a hybrid layer in each of three groups."""
    layers = {
        name: {"kind": "hybrid", "lambda": share, "k": 4, **options}
        for name, share in zip(GROUPS, lambdas, strict=True)
    }
    return canonical(TrialConfig.model_validate({"model": {"name": "vgg11", "layers": layers}}))


CONFIGS = [trial(0, 0.5, 1), trial(0.5, 0.5, 1), trial(0.5, 0.5, 0.5), trial(0, 0, 0), trial(1, 0, 1)]


def test_each_group_has_a_column_even_if_groups_are_equal_in_some_trials() -> None:
    columns = varying(CONFIGS)
    assert [column.name for column in columns] == [f"{name} lambda" for name in GROUPS]
    rows = [[fields(config).get(column.key) for column in columns] for config in CONFIGS]
    assert rows == [[0, 0.5, 1], [0.5, 0.5, 1], [0.5, 0.5, 0.5], [0, 0, 0], [1, 0, 1]]
    assert in_a_line(CONFIGS[0], columns) == "conv1-conv2 lambda 0, conv3-conv4 lambda 0.5, conv5-conv8 lambda 1"


def test_neighbors_that_are_equal_in_all_trials_share_a_column() -> None:
    names = [column.name for column in varying([trial(0, 1, 1), trial(1, 0.5, 0.5)])]
    assert names == ["conv1-conv2 lambda", "conv3-conv8 lambda"]


def test_trials_with_one_layer_add_no_columns_beside_layers_by_depth() -> None:
    """One layer draws 128 tokens, or takes all if there are fewer; that adds no column for the candidates."""
    spec = load_sweep("vgg-by-depth")
    drawn = [spec.space.resolve(Decided(point)) for point in spec.space.points()]
    forms = [canonical(config) for config in drawn]
    assert sum(form.model.layer is not None for form in forms) == 3  # type: ignore[attr-defined]
    for configs in (drawn, forms, [*forms, *drawn]):
        assert [column.name for column in varying(configs)] == [f"{name} lambda" for name in GROUPS]


def test_a_field_with_the_same_value_in_all_layers_has_one_column() -> None:
    more = [trial(0.5, 1, 1, padding=padding) for padding in (0, 1)]
    assert [column.name for column in varying(more)] == ["padding"]
    same = constants([fields(config) for config in more], varying(more))
    assert same["conv1-conv2 lambda"] == 0.5
    assert same["conv3-conv8 lambda"] == 1
    assert same["k"] == 4


def test_trials_with_one_layer_keep_their_columns() -> None:
    uniform = [trial(share, share, share) for share in (0.25, 0.5)]
    assert [(column.key, column.name) for column in varying(uniform)] == [("lambda", "lambda")]
    assert "model.layer.padding" in params(uniform[0])


def test_columns_can_be_chosen_by_path_or_name() -> None:
    asked = "conv5-conv8.lambda,conv1-conv2 lambda,model.layers.conv3-conv4.lambda"
    names = [column.name for column in chosen(asked, CONFIGS)]
    assert names == ["conv5-conv8 lambda", "conv1-conv2 lambda", "conv3-conv4 lambda"]


def test_a_path_from_the_file_chooses_every_column_that_covers_part_of_its_range() -> None:
    configs = [trial(0.25, 0.5, 0.5), trial(0.5, 0.25, 0.25)]  # conv3 to conv8 share a column
    for path in ("conv5-conv8.lambda", "space.model.layers.conv5-conv8.lambda", "conv7 lambda", "conv3-conv4.lambda"):
        assert [column.name for column in chosen(path, configs)] == ["conv3-conv8 lambda"]
    both = ["conv1-conv2 lambda", "conv3-conv8 lambda"]
    assert [column.name for column in chosen("conv1-conv3.lambda", configs)] == both
    for path in ("conv1.lr", "conv9.k", "conv5-conv3.k"):
        with pytest.raises(UsageError, match="no trial has a field"):
            chosen(path, configs)


def test_mlflow_has_each_field_once_if_ranges_of_a_file_share_a_column() -> None:
    configs = [trial(0.25, 0.5, 0.5), trial(0.5, 0.25, 0.25)]
    unshared = TrialConfig.model_validate(
        {"model": {"name": "vgg11", "layers": {name: {"kind": "hybrid", "lambda": 0.5, "k": 4} for name in GROUPS}}}
    )
    found = params(unshared, varying(configs))
    assert [name for name in found if name.endswith("lambda")] == ["lambda", "conv1-conv2 lambda", "conv3-conv8 lambda"]


class Stem(Config):
    """The first layer of a model of a plugin."""

    width: int = 3


class Deep(ModelConfig):
    """A model of a plugin with fields that have names as in layers by depth."""

    name: Literal["deep"]
    layers: int = 4
    conv1: Stem = Stem()

    @property
    def mixing_layer(self) -> MixingLayer:
        return MixingLayer()


def test_a_model_of_a_plugin_may_have_fields_with_the_names_of_layers_by_depth() -> None:
    with MODELS.registered(Deep):
        text = "{name: deep, layers: {choice: [2, 4]}, conv1: {width: {choice: [1, 2]}}}"
        spec = parse_sweep(f"name: a\nspace: {{model: {text}}}\nsearch: {{sampler: grid}}\n")
        configs = [spec.space.resolve(Decided(point)) for point in spec.space.points()]
        keys, names = ["model.layers", "model.conv1.width"], ["model.layers", "conv1.width"]
        assert [column.name for column in varying(configs)] == names
        assert [column.name for column in chosen(",".join(names), configs)] == names
        assert {*keys} <= declared(spec.space.root).keys()
        beside = [column.name for column in varying([*configs, CONFIGS[0]])]  # as in one sweep with an any_of
        assert {"model", *names} <= {*beside}
        runs = Runs(replace(table(), runs=(RecordedRun("a", {}, configs[0]),)))
        assert [*runs.unrecorded(configs[-1])] == [("model.layers", 4), ("model.conv1.width", 2)]


def test_mlflow_parameters_have_the_names_of_the_columns_in_every_trial() -> None:
    columns = axes(CONFIGS, varying(CONFIGS))
    assert [column.axis for column in columns] == [f"{name} lambda" for name in GROUPS]
    for config in CONFIGS:
        found = params(config, columns)
        assert [found[f"{name} lambda"] for name in GROUPS] == [
            str(float(fields(config)[column.key] or 0)) for column in columns
        ]
        assert not any(name.startswith("model.layers.") and name.endswith(".lambda") for name in found)


def test_a_run_name_contains_the_lambda_of_each_range() -> None:
    name = run_name(Trial("a", 7, CONFIGS[0], "complete", None, None, 0), varying(CONFIGS))
    assert name == "007 conv1-conv2 λ0 conv3-conv4 λ0.5 conv5-conv8 λ1"


def test_the_report_finds_the_domain_of_each_column() -> None:
    spec = load_sweep("vgg-by-depth")
    found = declared(spec.space.root)
    columns = varying(possible(spec))
    assert [column.name for column in columns] == [f"{name} lambda" for name in GROUPS]
    assert {found[column.key] for column in columns} == {Choice((0, 0.5, 1))}
