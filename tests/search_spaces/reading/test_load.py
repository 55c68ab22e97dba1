from dataclasses import replace
from pathlib import Path

import pytest

from search_spaces import SpecError, load_sweep, parse_sweep
from search_spaces.reading.load import with_trials
from search_spaces.settings import RandomSearch

TEXT = """
name: small
space:
  data: {name: digits, root: ~/data}
  model: {layer: {kind: hybrid, lambda: {choice: [0.25, 0.5]}, k: {choice: [4, 9]}}}
  training: {epochs: 9}
"""


@pytest.mark.parametrize(
    ("settings", "metric", "goal"),
    [
        ("evaluation: {protocol: paper}", "test/accuracy", "maximize"),
        ("objective: {metric: val/loss}", "val/loss", "minimize"),
        ("evaluation: {protocol: paper}\nobjective: {metric: test/loss, goal: minimize}", "test/loss", "minimize"),
    ],
)
def test_metric_and_goal_follow_the_protocol_and_each_other(settings: str, metric: str, goal: str) -> None:
    spec = parse_sweep(TEXT + settings)
    assert (spec.metric, spec.goal) == (metric, goal)


def test_overrides_become_part_of_the_text_as_run() -> None:
    spec = parse_sweep(TEXT, "f.yaml", ["space.training.lr={choice: [1e-3, 1e-2]}", "name=1e4x"])
    assert spec.text.startswith("# --set space.training.lr={choice: [1e-3, 1e-2]}\n# --set name=1e4x\nname: 1e4x\n")
    again = parse_sweep(spec.text)
    assert again.space == spec.space
    assert again.identity() == spec.identity()


@pytest.mark.parametrize("text", ["1e4", "on", "~", "007", ".5", "größe\u2028x", "a: b", "# c", "1\n2"])
def test_text_that_looks_like_another_type_survives_an_override(text: str) -> None:
    quoted = '"' + text.encode("unicode_escape").decode() + '"'
    spec = parse_sweep(TEXT, "f.yaml", [f"tracking.experiment={quoted}"])
    assert spec.tracking.experiment == text
    assert parse_sweep(spec.text).tracking.experiment == text


@pytest.mark.parametrize(
    ("assignment", "way"),
    [
        ("lr=3", "lr is not a field; write --set space.training.lr=3."),
        ("learning_rate=3", "learning_rate is not a field; write --set space.training.lr=3."),
        ("training.lr=3", "training is not a field; write --set space.training.lr=3."),
        ("layer.k=3", "layer is not a field; write --set space.model.layer.k=3."),
        ("trials=4", "trials is not a field; write --set search.trials=4, or --set budget.trials=4."),
    ],
)
def test_an_override_with_a_wrong_path_is_answered_with_the_right_override(assignment: str, way: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_sweep(TEXT, "f.yaml", [assignment])
    assert str(caught.value) == f"--set {assignment}, column 1: {way}"


def test_an_override_within_any_of_uses_the_numbers_of_the_options() -> None:
    text = TEXT.replace("{layer: {kind", "{layer: {any_of: [{kind: convnn}, {kind").replace("[4, 9]}}}", "[4, 9]}}]}}")
    with pytest.raises(SpecError) as caught:
        parse_sweep(text, "f.yaml", ["k=3"])
    ways = "--set space.model.layer.any_of.0.k=3, or --set space.model.layer.any_of.1.k=3"
    assert str(caught.value) == f"--set k=3, column 1: k is not a field; write {ways}."


def test_a_mistake_in_an_override_points_to_the_override() -> None:
    with pytest.raises(SpecError) as caught:
        parse_sweep(TEXT, "f.yaml", ["space.training.epochs=many", "space.trainig.lr=1"])
    assert str(caught.value) == (
        "--set space.trainig.lr=1, column 7: space.trainig is not a field; did you mean 'training'?\n"
        "--set space.training.epochs=many, column 23: space.training.epochs must be a whole number, at least 1, "
        "at most 100000; got 'many'."
    )


def test_a_sweep_as_run_can_be_changed_repeatedly() -> None:
    spec = parse_sweep("# mine\n" + TEXT, overrides=["space.training.epochs=3", "budget.wall_hours=1"])
    for hours in (2, 48, 96):
        spec = parse_sweep(spec.text, overrides=[f"budget.wall_hours={hours}"])
    assert spec.text.startswith("# --set budget.wall_hours=96\nname: small\n")
    assert spec.text.count("#") == spec.text.count("wall_hours: ") == 1
    again = parse_sweep(spec.text)
    assert (again.text, again.budget.wall_hours, again.space.values("training.epochs", 0)) == (spec.text, 96, [3])


def test_the_number_of_trials_of_a_search_can_change() -> None:
    spec = parse_sweep(TEXT + "search: {sampler: random, trials: 3}", overrides=["space.training.epochs=2"])
    more = with_trials(with_trials(spec, 5), 7)
    assert more.search == RandomSearch(sampler="random", trials=7)
    assert parse_sweep(more.text) == more
    assert more.identity() == spec.identity()
    with pytest.raises(SpecError, match=r"search\.trials must be a whole number, at least 1, at most 1000000; got 0\."):
        with_trials(spec, 0)


def test_a_sweep_that_was_moved_gets_more_trials_where_its_mlflow_runs_are() -> None:
    spec = parse_sweep(TEXT + "search: {sampler: random, trials: 3}")
    moved = replace(spec, name="elsewhere", tracking=spec.tracking.model_copy(update={"experiment": spec.name}))
    more = with_trials(moved, 5)
    assert (more.name, more.tracking.experiment) == ("elsewhere", "small")


def test_the_number_of_trials_of_a_grid_cannot_change() -> None:
    with pytest.raises(ValueError, match="small is a grid and already runs every trial of its space; give its"):
        with_trials(parse_sweep(TEXT), 9)


def test_messages_name_the_file_read_from_disk(tmp_path: Path) -> None:
    file = tmp_path / "my-sweep.yaml"
    file.write_bytes(TEXT.replace("\n", "\r\n").encode())
    assert load_sweep(file).name == "small"
    file.write_text("nam: x", encoding="utf-8")
    with pytest.raises(SpecError, match=r"my-sweep\.yaml:1:1: nam is not a field; did you mean 'name'\?"):
        load_sweep(file)


def test_a_file_that_is_not_utf_8_is_reported_with_its_position(tmp_path: Path) -> None:
    file = tmp_path / "latin.yaml"
    file.write_bytes(b"name: a\n# gr\xf6\xdfe\n")
    with pytest.raises(
        SpecError, match=r"latin\.yaml:2:5: a sweep file must be text in UTF-8, got byte 0xF6; save it as UTF-8\."
    ):
        load_sweep(file)


def test_a_preset_is_found_by_name_even_beside_a_folder_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").mkdir()
    assert load_sweep("quickstart").name == "quickstart"


def test_a_file_takes_precedence_over_a_preset_of_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").write_text(TEXT, encoding="utf-8")
    assert load_sweep("quickstart").name == "small"


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("quickstrat", "quickstrat is neither a file nor a preset; did you mean 'quickstart'?"),
        ("table1", "table1 is neither a file nor a preset; did you mean 'table1-cifar10' or 'table1-cifar100'?"),
        ("no/such.yaml", "no/such.yaml does not exist; its folder no does not exist either; check the path."),
        ("folder", "folder is a folder; give the sweep's YAML file."),
    ],
)
def test_a_missing_file_is_explained(file: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileNotFoundError) as caught:
        load_sweep(file)
    assert str(caught.value).startswith(message)


def test_a_relative_folder_of_images_is_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "my sweeps" / "a.yaml"
    file.parent.mkdir()
    file.write_text(
        "name: a\nspace:\n  data: {any_of: [{name: cifar10, root: {choice: [images, ~/data, /data]}}, {root: $H/x}]}\n"
        "  model: {layer: {kind: conv2d}}\n"
    )
    monkeypatch.chdir(tmp_path)
    spec = load_sweep(file)
    roots = [data.root for data in spec.space.data_sets()]
    assert roots == [str(tmp_path / "my sweeps" / "images"), "~/data", "/data", "$H/x"]
    assert [data.root for data in parse_sweep(spec.text).space.data_sets()] == roots  # as run, from any folder
    changed = parse_sweep(spec.text, "elsewhere/sweep.yaml", ["budget.trials=9"])
    assert [data.root for data in changed.space.data_sets()] == roots
    (given,) = load_sweep(file, ["space.data={root: here}"]).space.data_sets()
    assert given.root == str(tmp_path / "here")
    (preset,) = load_sweep("quickstart", ["space.data.root=../x"]).space.data_sets()
    assert preset.root == str(tmp_path / "../x")
    monkeypatch.chdir(file.parent)
    (moved,) = parse_sweep(spec.text, overrides=["space.data={root: there}"]).space.data_sets()
    assert moved.root == str(file.parent / "there")
