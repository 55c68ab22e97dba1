"""Write the authors' runs as the compact table that `convnn simulate` and `convnn compare` use.

Run it manually: `python -m benchmarks.published_runs FOLDER`. The folder contains runs.parquet, curves.parquet,
published.json and figures.json. Runs with a `code_note` (a bug, different code, a broken machine) are excluded. Each
row is a run: its arguments, its epochs as lists of integers, and where the paper prints it. An accuracy is a multiple
of 100/10240 percent (the authors' mean of batch means), so it is stored exactly; losses are rounded to 1e-4, seconds to
0.01. Training losses are stored only for runs whose curve appears in a figure.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tune_jobs.results.recorded.published import ACCURACY_STEP, ARGUMENTS, LOSS_STEP, PRINTED, PUBLISHED, SECONDS_STEP

LOGGED = 1e-4
"""Accuracies have four decimals in the logs."""

LICENCE = "MIT, (c) Mingi Kang; see published.LICENSE"
SOURCE = "runs of arXiv:2511.14137: mingikang31/Convolutional-Nearest-Neighbor and -Attention"


def _coded(values: pd.Series, step: float, kind: type[np.integer]) -> Any:  # noqa: ANN401 - an array of `kind`
    found = np.rint(values.to_numpy(np.float64) / step)
    assert found.min() >= 0
    assert found.max() <= np.iinfo(kind).max
    return found.astype(kind)


def printed_in(tables: dict[str, Any], figures: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return, by run, the table rows and the figure points and curves that show it."""
    found = defaultdict(list)
    for row in tables["rows"]:
        part = f", {row['part']}" if row["part"] else ""
        numbers = {"accuracy": row["published"]["acc"], "loss": row["published"]["test_loss"]}
        found[row["source_run_id"]].append(
            {"item": f"Table {row['table']}{part}", "row": row["row_label"], "kind": "row", **numbers}
        )
    for figure in figures["figures"]:
        for series in figure["series"]:
            about = {"item": f"Figure {figure['figure']}", "row": series["label"], "kind": series["kind"]}
            for point in series["points"]:
                x = None if point["x"] is None else float(point["x"])
                found[point["run_id"]].append({**about, "x": x})
    return found


def table_of(runs: pd.DataFrame, curves: pd.DataFrame, printed: dict[str, list[dict[str, Any]]]) -> pa.Table:
    """Return the table with one row per run, sorted by `run_id`."""
    runs = runs[runs.code_note.isna()].sort_values("run_id")
    curves = curves.assign(run_id=curves.run_id.astype(str))
    curves = curves[curves.run_id.isin(runs.run_id)].sort_values(["run_id", "epoch"])
    lengths = curves.groupby("run_id").size()
    assert list(lengths.index) == list(runs.run_id)
    assert list(lengths) == list(runs.n_epochs)
    assert all(curves.epoch.to_numpy() == np.concatenate([np.arange(1, n + 1) for n in lengths]))
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    columns = {name: pa.array(runs[name], from_pandas=True) for name in ("run_id", *ARGUMENTS)}
    accuracy = _coded(curves.test_top1, 100 * ACCURACY_STEP, np.int16)
    differences = np.abs(accuracy.astype(np.float64) * 100 * ACCURACY_STEP - curves.test_top1)
    assert differences.max() < LOGGED
    columns["test_accuracy"] = pa.ListArray.from_arrays(offsets, pa.array(accuracy))
    columns["test_loss"] = pa.ListArray.from_arrays(offsets, pa.array(_coded(curves.test_loss, LOSS_STEP, np.int32)))
    columns["seconds"] = pa.ListArray.from_arrays(offsets, pa.array(_coded(curves.seconds, SECONDS_STEP, np.int32)))
    assert set(printed) <= set(runs.run_id)
    columns["printed"] = pa.array([printed.get(name, []) for name in runs.run_id], PRINTED)
    drawn = {name for name, places in printed.items() if any(place["kind"] == "curve" for place in places)}
    curves_of = curves.groupby("run_id").train_loss
    coded = {name: _coded(curves_of.get_group(name), LOSS_STEP, np.int32) for name in drawn}
    columns["train_loss"] = pa.array([coded.get(name) for name in runs.run_id], pa.list_(pa.int32()))
    return pa.table(columns).replace_schema_metadata({"licence": LICENCE, "source": SOURCE})


def main(folder: Path) -> None:
    """Write the table into the package."""
    printed = printed_in(*(json.loads((folder / name).read_text()) for name in ("published.json", "figures.json")))
    runs, curves = (pd.read_parquet(folder / name) for name in ("runs.parquet", "curves.parquet"))
    table = table_of(runs, curves, printed)
    pq.write_table(table, PUBLISHED, compression="zstd", compression_level=19)
    print(f"{PUBLISHED}: {len(table)} runs, {PUBLISHED.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
