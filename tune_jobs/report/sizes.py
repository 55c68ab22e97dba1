"""The size of each trial's model: as recorded, else measured as the workers do."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from search_spaces import TrialConfig
from tune_jobs.results.row import Row
from tune_jobs.worker.sizing import size_of

LEAST_S = 1.0
"""Loading torch alone takes longer than this."""


@dataclass(frozen=True)
class Size:
    """The size of a model; `gflops` is for the forward pass of one image."""

    parameters: int
    gflops: float


def sizes_of(
    rows: list[Row], recorded: Mapping[str, Size], measure_s: float, say: Callable[[str], None]
) -> dict[str, Size]:
    """Return sizes by run key. Unrecorded models are measured for about `measure_s` seconds, the best trials first."""
    found = dict(recorded)
    models: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.counts and row.run_key not in found:
            models.setdefault((row.config.model.model_dump_json(), row.config.data.name), []).append(row)
    if models and measure_s >= LEAST_S:
        say(f"measuring GFLOPs of {len(models)} models ...")
        deadline = time.monotonic() + measure_s
        for same in models.values():
            size = _measured(same[0].config)
            found |= {row.run_key: size for row in same if size is not None}
            if time.monotonic() > deadline:
                break
    return found


def _measured(config: TrialConfig) -> Size | None:
    try:
        found = size_of(config)
    except Exception:  # noqa: BLE001 - such a model has no size in the report
        return None
    return Size(int(found["params"]), found["gflops"])
