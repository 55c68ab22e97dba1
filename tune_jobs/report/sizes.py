"""How large the models of a sweep's trials are: as recorded, else measured as the workers do."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from search_spaces import TrialConfig
from tune_jobs.results.row import Row
from tune_jobs.worker.sizing import size_of

LEAST_S = 1.0
"""In less time torch is not even loaded."""


@dataclass(frozen=True)
class Size:
    """Of one model; `gflops` of one image's forward pass."""

    parameters: int
    gflops: float


def sizes_of(
    rows: list[Row], recorded: Mapping[str, Size], measure_s: float, say: Callable[[str], None]
) -> dict[str, Size]:
    """Sizes by run key; of trials with a value those not recorded are measured, the best first, for `measure_s` s."""
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
    except Exception:  # noqa: BLE001 - a model that cannot be measured has no size, and the report goes on
        return None
    return Size(int(found["params"]), found["gflops"])
