"""The authors' runs (arXiv:2511.14137), and the configuration of ours that matches each of them.

Source: the repositories mingikang31/Convolutional-Nearest-Neighbor and -Attention, MIT licence, (c) Mingi Kang; only
numbers were taken. `benchmarks/published_runs.py` wrote the table; runs with a known fault are not in it.

| theirs | ours |
|---|---|
| `model` vgg11, `layer` Branching, `branch_ratio` 0 | `layer: {kind: conv2d, kernel_size}`; K has no effect |
| the same, `branch_ratio` above 0 | `layer: {kind: hybrid, lambda: branch_ratio, k: K, kernel_size, padding}` |
| `magnitude_type` | `similarity` (`matmul` is `dot`) |
| `similarity_type` Loc_Col | `position: similarity, position_scaling: std` |
| `aggregation_type` Loc_Col | `position: both, position_scaling: std` |
| `shuffle_pattern` BA, `shuffle_scale` p | `patch: p` |
| `sampling_type` random, `num_samples` r | `candidates: {kind: random, r, when_too_few: all}` |
| `sampling_type` spatial, `num_samples` s, VGG | `candidates: {kind: lattice, side: s, when_too_few: all}` |
| the same, ViT | `candidates: {kind: even, r: s}` |
| `model` VIT, `layer` Attention, KvtAttention | `attention: {kind: attention}`, `{kind: kvt, k: K}` |
| LocalAttention, SparseAttention local | `{kind: local, window: 128, head_dim: 64}`, `{kind: sparse, context}` |
| ConvNNAttention | `{kind: convnn, k: K, rho: softmax, aggregation: convolution_type}`; with `random` or `spatial` also
|                 | `self_first: true, self_score: 1.0` |
| `dataset`, `lr`, `batch_size`, `weight_decay`, `num_epochs`, `seed` | `data.name`, and `training` |

Their spatial grid on images is sheared by an index error, ours is not. Everything else equals our defaults, which are
theirs. The metrics are their test accuracy, in which each of the last 16 test images counts 16-fold (a mean of batch
means), and test loss. No validation images were held out.
"""

import itertools
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from search_spaces import TrialConfig
from search_spaces.base import by_path
from search_spaces.domains import Scalar
from tune_jobs.results.recorded.table import Array, RecordedRun, RecordedTable, stacked

PUBLISHED_NAME = "published"
PUBLISHED = Path(__file__).parent / "published.parquet"
ACCURACY_STEP, LOSS_STEP, SECONDS_STEP = 1 / 10240, 1e-4, 0.01
"""The units of the file's whole numbers."""

PRINTED = pa.list_(
    pa.struct(
        {
            "item": pa.string(),
            "row": pa.string(),
            "kind": pa.string(),
            "x": pa.float64(),
            "accuracy": pa.float64(),
            "loss": pa.float64(),
        }
    )
)
"""The column that says where the paper prints a run; see `Printed`."""

ARGUMENTS = (
    "model",
    "dataset",
    "layer",
    "K",
    "kernel_size",
    "padding",
    "branch_ratio",
    "magnitude_type",
    "similarity_type",
    "aggregation_type",
    "convolution_type",
    "sampling_type",
    "num_samples",
    "shuffle_pattern",
    "shuffle_scale",
    "num_heads",
    "sparse_mode",
    "sparse_context_window",
    "lr",
    "batch_size",
    "weight_decay",
    "num_epochs",
    "seed",
    "folder",
)
"""The arguments of a run that the table keeps, by the authors' names."""

_SIMILARITY = {"cosine": "cosine", "euclidean": "euclidean", "matmul": "dot"}


_PATHS = {
    "dataset": "data.name",
    "lr": "training.lr",
    "batch_size": "training.batch_size",
    "weight_decay": "training.weight_decay",
    "num_epochs": "training.epochs",
    "seed": "training.seed",
}
_MODELS = {"vgg11": "vgg11", "VIT": "vit_tiny"}


class NoCounterpartError(Exception):
    """No configuration of ours matches a run of the authors; the text says why."""


def config_of(run: dict[str, Any]) -> TrialConfig:
    """Return the configuration of ours that matches a run of theirs.

    Raises:
        NoCounterpartError: If none matches.
    """
    model = _vgg(run) if run["model"] == "vgg11" else _vit(run)
    training = {name: run[name] for name in ("lr", "batch_size", "weight_decay", "seed")}
    training["epochs"] = run["num_epochs"]
    return TrialConfig.model_validate({"data": {"name": run["dataset"]}, "model": model, "training": training})


def _vgg(run: dict[str, Any]) -> dict[str, Any]:
    if run["layer"] != "Branching":
        raise NoCounterpartError(f"layer {run['layer']} does not exist here")
    if not run["branch_ratio"]:
        return {"name": "vgg11", "layer": {"kind": "conv2d", "kernel_size": run["kernel_size"]}}
    both, either = (run[name] == "Loc_Col" for name in ("aggregation_type", "similarity_type"))
    layer = {
        "kind": "hybrid",
        "lambda": run["branch_ratio"],
        "k": run["K"],
        "kernel_size": run["kernel_size"],
        "padding": run["padding"],
        "similarity": _SIMILARITY[run["magnitude_type"]],
        "position": "both" if both else "similarity" if either else "none",
        "position_scaling": "std" if both or either else "none",
        "patch": run["shuffle_scale"] if run["shuffle_pattern"] == "BA" else 1,
        "candidates": _candidates(run, {"kind": "lattice", "side": run["num_samples"]}, when_too_few="all"),
    }
    return {"name": "vgg11", "layer": layer}


def _candidates(run: dict[str, Any], spatial: dict[str, Any], **more: str) -> dict[str, Any]:
    if run["sampling_type"] == "all":
        return {"kind": "all"}
    return ({"kind": "random", "r": run["num_samples"]} if run["sampling_type"] == "random" else spatial) | more


def _vit(run: dict[str, Any]) -> dict[str, Any]:
    if run["num_heads"] != 1:
        raise NoCounterpartError(f"{run['num_heads']} heads: theirs mix tokens and channels")
    return {"name": "vit_tiny", "attention": _attention(run)}


def _attention(run: dict[str, Any]) -> dict[str, Any]:
    layer = run["layer"]
    if layer == "Attention":
        return {"kind": "attention"}
    if layer == "KvtAttention":
        return {"kind": "kvt", "k": run["K"]}
    if layer == "LocalAttention":
        return {"kind": "local", "window": 128, "head_dim": 64}
    if layer == "SparseAttention" and run["sparse_mode"] == "local":
        return {"kind": "sparse", "context": run["sparse_context_window"]}
    if layer != "ConvNNAttention":
        mode = f" {run['sparse_mode']}" if layer == "SparseAttention" else ""
        raise NoCounterpartError(f"layer {layer}{mode} does not exist here")
    found = {
        "kind": "convnn",
        "k": run["K"],
        "similarity": _SIMILARITY[run["magnitude_type"]],
        "rho": "softmax",
        "aggregation": run["convolution_type"].replace("-", "_"),
        "candidates": _candidates(run, {"kind": "even", "r": run["num_samples"]}),
    }
    return found if run["sampling_type"] == "all" else found | {"self_first": True, "self_score": 1.0}


def params_of(run: dict[str, Any], config: TrialConfig | None) -> dict[str, Scalar]:
    """Return the parameters of a run of theirs, by the paths of a sweep file; for other layers, their arguments."""
    found: dict[str, Scalar] = {"model.name": _MODELS[run["model"]], "folder": run["folder"]}
    found |= {path: run[name] for name, path in _PATHS.items()}
    if config is not None:
        return found | dict(by_path(config.model_dump(mode="json", by_alias=True)))
    theirs = {name: value for name, value in run.items() if name not in (*_PATHS, "run_id", "model")}
    return found | {name: value for name, value in theirs.items() if value is not None}


@cache
def _file() -> "pa.Table":
    return pq.read_table(PUBLISHED)


@cache
def published() -> RecordedTable:
    """Return the authors' runs, without those that have a known fault."""
    table = _file()
    runs = []
    for row in table.select(["run_id", *ARGUMENTS]).to_pylist():
        config, why = None, None
        try:
            config = config_of(row)
        except NoCounterpartError as error:
            why = str(error)
        runs.append(RecordedRun(row["run_id"], params_of(row, config), config, why))
    steps = {"test_accuracy": ACCURACY_STEP, "test_loss": LOSS_STEP, "seconds": SECONDS_STEP}
    curves = {name: _curves(table.column(name), step) for name, step in steps.items()}
    return RecordedTable(
        name=PUBLISHED_NAME,
        about="the published runs of arXiv:2511.14137, (c) Mingi Kang, MIT licence",
        runs=tuple(runs),
        curves={"test/accuracy": curves["test_accuracy"], "test/loss": curves["test_loss"]},
        lengths=np.array(table.column("test_accuracy").combine_chunks().value_lengths(), np.int64),
        seconds=curves["seconds"],
    )


@dataclass(frozen=True)
class Printed:
    """A place in the paper that shows a run."""

    item: str
    """`Table 1, without PE`, `Figure 5`."""

    row: str
    """The name of the row or series there."""

    kind: Literal["row", "line", "horizontal", "curve"]
    """A table's `row` shows the last epoch, `line` and `horizontal` the best epoch of each run, `curve` its losses."""

    x: float | None
    """Its x coordinate on a line, or the learning rate of a curve."""

    accuracy: float | None
    """The accuracy in a row, in percent. Like all numbers of a row, it was truncated, not rounded."""

    loss: float | None


@cache
def printed() -> dict[str, tuple[Printed, ...]]:
    """Return where the paper shows each run, by run id; most runs are shown nowhere."""
    table = _file()
    rows = zip(table.column("run_id").to_pylist(), table.column("printed").to_pylist(), strict=True)
    return {run: tuple(Printed(**place) for place in places) for run, places in rows}


@cache
def training_losses() -> dict[str, Array]:
    """Return the mean training loss at each epoch, by id, of the runs whose curve a figure shows."""
    table = _file()
    rows = zip(table.column("run_id").to_pylist(), table.column("train_loss").to_pylist(), strict=True)
    return {run: np.array(losses) * LOSS_STEP for run, losses in rows if losses is not None}


def deviation(config: TrialConfig) -> str | None:
    """Return the bug in the published code that makes its results for this configuration differ from ours, if any."""
    layer = config.model.mixing_layer
    candidates = getattr(getattr(layer, "candidates", None), "kind", "all")
    if config.model.name == "vgg11" and candidates == "lattice":
        return "their spatial grid was sheared by a wrong row width"
    kind = getattr(layer, "kind", None)
    if kind == "convnn" and config.model.name == "vit_tiny" and candidates != "all":
        return "their own column had -0.1 instead of being left out, so a token could choose itself twice"
    return {
        "local": "their local attention did not mask the zero keys beyond the 197 tokens",
        "sparse": "their dropout stayed on when testing",
    }.get(str(kind))


def _curves(column: "pa.ChunkedArray", step: float) -> Array:
    lists = column.combine_chunks()
    offsets, values = lists.offsets.to_numpy(), lists.values.to_numpy()
    return stacked([values[begin:end] * step for begin, end in itertools.pairwise(offsets)])
