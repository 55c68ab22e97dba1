"""The presets of the paper match the authors' runs: each row and each point of a series against their arguments.

`published/runs.json` has the arguments recorded in the authors' logs. By the published code, they translate as follows:
VGG is always `layer=Branching`. `branch_ratio` is lambda (`lambda_param` is not read). `similarity_type=Loc_Col` also
compares coordinates, and `aggregation_type=Loc_Col` also convolves them. `shuffle_scale` is the patch. Figure 5's
`num_samples` is r for random selection and the side of the grid for spatial selection; a map with fewer tokens uses all
of them. ViT's ConvNN uses a scaled dot product (`matmul`). With random candidates (`random`) or candidates spread over
the raster (`spatial`), each token is its own first neighbor with score 1.0. Local attention has one head of 64.
"""

import functools
import json
import math
import random
from pathlib import Path
from typing import Any

import pytest

from search_spaces import Decided, TrialConfig, canonical, infeasibilities, load_sweep, presets, run_key
from search_spaces.schema import EDITOR_LINE

PUBLISHED = json.loads((Path(__file__).parent / "published" / "runs.json").read_text(encoding="utf-8"))
ROWS: list[dict[str, Any]] = PUBLISHED["rows"]
SERIES: list[dict[str, Any]] = PUBLISHED["series"]
DATA_SETS = ("cifar10", "cifar100")
PAPER = [f"table{n}-{data}" for n in range(1, 6) for data in DATA_SETS] + [
    f"figure{n}-{data}" for n in (3, 4, 5, 6, 7, 8, 10) for data in DATA_SETS
]

ONLY_WITH_THEIR_BUG = {
    "table 2: Local-Attention": "local attention did not mask the zero keys",
    "table 2: Sparse-Attention": "dropout stayed on when testing",
    "table 2: ConvNN (Random Selection)": "-0.1 instead of leaving it out",
    "table 2: ConvNN (Spatial Selection)": "-0.1 instead of leaving it out",
    "figure 5: spatial (Branching lambda=0.5)": "sheared by a wrong row width",
    "figure 6: ConvNN random r=32": "-0.1 instead of leaving it out",
    "figure 7: ConvNN (Random, r=32)": "-0.1 instead of leaving it out",
    "figure 8: random": "-0.1 instead of leaving it out",
    "figure 8: spatial": "-0.1 instead of leaving it out",
}
"""Rows and series whose published numbers contain a bug of the code, quoted from the preset's file.

The preset has the configuration that the authors intended, so the numbers differ in spite of equal settings.
"""


def run_of(name: str) -> dict[str, Any]:
    """Return the recorded arguments of a run."""
    own = PUBLISHED["runs"][name]
    return {**PUBLISHED["arguments_of_most"][own["model"]], **own}


def trial_of(run: dict[str, Any]) -> TrialConfig:
    """Return our configuration of a published run."""
    usual = {"optimizer": "adamw", "scheduler": "none", "criterion": "CrossEntropy", "augment": False, "use_amp": False}
    assert usual.items() <= run.items()
    training = {
        "lr": run["lr"],
        "epochs": run["num_epochs"],
        "batch_size": run["batch_size"],
        "weight_decay": run["weight_decay"],
        "clip_norm": run["clip_grad_norm"],
        "seed": run["seed"],
    }
    model = vgg_of(run) if run["model"] == "vgg11" else vit_of(run)
    return canonical(
        TrialConfig.model_validate({"data": {"name": run["dataset"]}, "model": model, "training": training})
    )


def vgg_of(run: dict[str, Any]) -> dict[str, Any]:
    assert run["layer"] == "Branching"
    located = (run["similarity_type"] == "Loc_Col", run["aggregation_type"] == "Loc_Col")
    samples = run["num_samples"]
    layer = {
        "kind": "hybrid",
        "lambda": run["branch_ratio"],
        "kernel_size": run["kernel_size"],
        "k": run["K"],
        "similarity": run["magnitude_type"],
        "rho": "constant",
        "aggregation": "standard",
        "position": {(False, False): "none", (True, False): "similarity", (True, True): "both"}[located],
        "position_scaling": "std",
        "patch": {("NA", 0): 1, ("BA", 2): 2}[run["shuffle_pattern"], run["shuffle_scale"]],
        "projections": "identity",
        "padding": run["padding"],
        "self_first": True,
        "candidates": {
            "all": {"kind": "all"},
            "random": {"kind": "random", "r": samples, "when_too_few": "all"},
            "spatial": {"kind": "lattice", "side": samples, "when_too_few": "all"},
        }[run["sampling_type"]],
    }
    return {"name": "vgg11", "layer": layer}


def vit_of(run: dict[str, Any]) -> dict[str, Any]:
    samples = run["num_samples"]
    drawn = run["sampling_type"] != "all"
    convnn = {
        "kind": "convnn",
        "k": run["K"],
        "similarity": {"matmul": "dot"}[run["magnitude_type"]],
        "rho": "softmax",
        "aggregation": run["convolution_type"].replace("-", "_"),
        "self_first": drawn,
        "self_score": 1.0 if drawn else None,
        "candidates": {
            "all": {"kind": "all"},
            "random": {"kind": "random", "r": samples},
            "spatial": {"kind": "even", "r": samples},
        }[run["sampling_type"]],
    }
    return {
        "name": "vit_tiny",
        "image_size": run["resize"],
        "patch_size": run["patch_size"],
        "depth": run["num_layers"],
        "dim": run["d_hidden"],
        "heads": run["num_heads"],
        "mlp_width": run["d_mlp"],
        "dropout": run["dropout"],
        "attention_dropout": run["attention_dropout"],
        "attention": {
            "Attention": {"kind": "attention"},
            "KvtAttention": {"kind": "kvt", "k": run["K"]},
            "LocalAttention": {"kind": "local", "window": 128, "head_dim": 64, "rotary": True},
            "SparseAttention": {"kind": "sparse", "context": run["sparse_context_window"]},
            "ConvNNAttention": convnn,
        }[run["layer"]],
    }


def has_a_bug(run: dict[str, Any]) -> bool:
    """Return whether the run's result depends on a bug of the published code."""
    if run["model"] == "vgg11":
        return bool(run["sampling_type"] == "spatial")
    drawn = run["layer"] == "ConvNNAttention" and run["sampling_type"] != "all"
    return drawn or run["layer"] in ("LocalAttention", "SparseAttention")


def title(entry: dict[str, Any]) -> str:
    """Return the name of a row or series, without the data set."""
    return (
        f"table {entry['table']}: {entry['row']}" if "row" in entry else f"figure {entry['figure']}: {entry['series']}"
    )


def preset_of(entry: dict[str, Any]) -> str:
    part = f"table{entry['table']}" if "row" in entry else f"figure{entry['figure']}"
    return f"{part}-{entry['dataset']}"


def runs_of(entry: dict[str, Any]) -> list[str]:
    """Return the names of the runs of a row or series."""
    return [entry["run"]] if "row" in entry else [point["run"] for point in entry["points"]]


ENTRIES = ROWS + SERIES


def label(entry: dict[str, Any]) -> str:
    return f"{title(entry)}, {entry['dataset']}"


@functools.cache
def trials(preset: str) -> dict[str, TrialConfig]:
    """Return the trials of a preset's grid, by key."""
    space = load_sweep(preset).space
    found = [space.resolve(Decided(point)) for point in space.points()]
    assert not any(next(infeasibilities(trial), None) for trial in found)
    return {run_key(trial): canonical(trial) for trial in found}


def header(preset: str) -> str:
    """Return a preset's header comment on one line."""
    lines = presets.path(preset).read_text(encoding="utf-8").splitlines()
    return " ".join(line.removeprefix("#").strip() for line in lines if line.startswith("#"))


@pytest.mark.parametrize("entry", ENTRIES, ids=label)
def test_every_run_of_a_row_or_series_is_a_trial_of_its_preset(entry: dict[str, Any]) -> None:
    for name in runs_of(entry):
        expected = trial_of(run_of(name))
        found = trials(preset_of(entry))[run_key(expected)]
        assert found.model_dump() == expected.model_dump()


@pytest.mark.parametrize("preset", PAPER)
def test_every_trial_of_a_preset_belongs_to_a_row_or_series(preset: str) -> None:
    behind = {
        run_key(trial_of(run_of(name))) for entry in ENTRIES if preset_of(entry) == preset for name in runs_of(entry)
    }
    assert set(trials(preset)) == behind


@pytest.mark.parametrize("preset", PAPER)
def test_a_preset_of_the_paper_uses_the_papers_protocol_without_stopping(preset: str) -> None:
    spec = load_sweep(preset)
    assert (spec.evaluation.protocol, spec.search.sampler, spec.stopping.kind) == ("paper", "grid", "none")
    assert spec.space.size() == spec.planned() == len(trials(preset))


def coverage() -> dict[str, tuple[str, ...]]:
    """Count, by table and figure, the rows or series that presets cover, and their printed cells or points."""
    found = {}
    for part in dict.fromkeys(title(entry).split(":")[0] for entry in ROWS + SERIES):
        paper = [entry for entry in ROWS + SERIES if title(entry).startswith(f"{part}:")]
        presets_have = [entry for entry in paper if entry in ENTRIES]
        counts = [
            (len(entries), sum(len(entry["cells" if "row" in entry else "points"]) for entry in entries))
            for entries in (presets_have, paper)
        ]
        found[part] = tuple(f"{have} of {there}" for have, there in zip(*counts, strict=True))
    return found


def test_how_much_of_the_paper_is_covered() -> None:
    assert coverage() == {
        "table 1": ("36 of 36", "144 of 144"),
        "table 2": ("16 of 16", "64 of 64"),
        "table 3": ("18 of 18", "72 of 72"),
        "table 4": ("10 of 10", "40 of 40"),
        "table 5": ("8 of 8", "32 of 32"),
        "figure 3": ("6 of 6", "6 of 6"),
        "figure 4": ("12 of 12", "78 of 78"),
        "figure 5": ("8 of 8", "60 of 60"),
        "figure 6": ("4 of 4", "4 of 4"),
        "figure 7": ("10 of 10", "70 of 70"),
        "figure 8": ("8 of 8", "48 of 48"),
        "figure 10": ("18 of 18", "18 of 18"),
    }


@functools.cache
def model_of(config: str) -> Any:
    """Build the model of a configuration, given as JSON, without memory for its weights."""
    import torch

    from tune_jobs.worker.build import build_model

    with torch.device("meta"):
        return build_model(TrialConfig.model_validate_json(config).model, 10)


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry["dataset"] == "cifar10"], ids=label)
def test_the_model_has_the_parameters_and_the_gflops_that_the_authors_logged(entry: dict[str, Any]) -> None:
    """Compare the parameters of each run, and the GFLOPs of each series' last run, because they take longer."""
    from convnn.cost import operations, parameters

    runs = [run_of(name) for name in runs_of(entry)]
    models = [model_of(trial_of(run).model_dump_json(by_alias=True)) for run in runs]
    assert [parameters(model) for model in models] == [run["params"] for run in runs]
    assert operations(models[-1], (1, 3, 32, 32)).published / 1e9 == pytest.approx(runs[-1]["gflops"], rel=0, abs=6e-9)


@pytest.mark.parametrize("name", ONLY_WITH_THEIR_BUG)
def test_a_preset_names_the_published_numbers_that_it_cannot_reproduce(name: str) -> None:
    words = ONLY_WITH_THEIR_BUG[name]
    behind = {preset_of(entry) for entry in ROWS + SERIES if title(entry) == name}
    assert len(behind) == len(DATA_SETS)
    assert all(words in header(preset) for preset in behind)


def test_all_bugs_are_named() -> None:
    assert {title(entry) for entry in ENTRIES if has_a_bug(run_of(runs_of(entry)[0]))} == set(ONLY_WITH_THEIR_BUG)


@pytest.mark.parametrize("preset", PAPER)
def test_a_preset_states_its_cost(preset: str) -> None:
    behind = {name for entry in ENTRIES if preset_of(entry) == preset for name in runs_of(entry)}
    hours = math.fsum(run_of(name)["hours"] for name in behind)  # the same in any order
    (epochs,) = {trial.training.epochs for trial in trials(preset).values()}
    assert f"{len(trials(preset))} trials of {epochs} epochs." in header(preset)
    assert f"logged {hours:.1f} hours of training" in header(preset)


@pytest.mark.parametrize(
    ("preset", "infeasible_share"),
    [("vgg-hybrid", 0.07), ("vit-convnn", 0.0), ("everything", 0.22), ("vgg-by-depth", 0.0)],
)
def test_nearly_every_draw_of_a_search_can_run(preset: str, infeasible_share: float) -> None:
    space, rng = load_sweep(preset).space, random.Random(0)
    drawn = [space.resolve(Decided(space.draw(rng))) for _ in range(400)]
    infeasible = sum(next(infeasibilities(trial), None) is not None for trial in drawn) / len(drawn)
    assert infeasible == pytest.approx(infeasible_share, abs=0.05)


def test_everything_varies_at_once() -> None:
    varied = {leaf.path.rpartition(".")[2] for leaf in load_sweep("everything").space.domains()}
    assert {"lambda", "k", "r", "patch", "aggregation", "lr", "candidates"} <= varied


def test_by_depth_covers_every_combination_of_three_lambdas_in_three_groups_of_layers() -> None:
    spec = load_sweep("vgg-by-depth")
    assert (spec.planned(), spec.space.size(), spec.evaluation.protocol) == (27, 27, "holdout")
    assert {leaf.path.rpartition(".")[2] for leaf in spec.space.domains()} == {"lambda"}
    forms = [canonical(spec.space.resolve(Decided(point))).model.mixing_layer for point in spec.space.points()]
    assert sum(form.is_baseline for form in forms) == 1
    assert "27 trials of 60 epochs" in header("vgg-by-depth")


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_is_valid_named_like_its_file_and_states_its_purpose(name: str) -> None:
    spec = load_sweep(name)
    assert spec.name == name
    assert presets.summary(name)
    assert f"convnn run {name}" in presets.path(name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", presets.names())
def test_an_editor_finds_the_schema_of_a_preset(name: str) -> None:
    lines = presets.path(name).read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if "$schema" in line] == [EDITOR_LINE]
    assert (presets.path(name).parent / EDITOR_LINE.partition("$schema=")[2]).exists()


def test_presets_are_listed_by_the_numbers_in_their_names() -> None:
    names = [name for name in presets.names() if name.startswith("figure")]
    assert [name.removeprefix("figure").partition("-")[0] for name in names[::2]] == [
        "3",
        "4",
        "5",
        "6",
        "7",
        "8",
        "10",
    ]
    assert names[:2] == ["figure3-cifar10", "figure3-cifar100"]
