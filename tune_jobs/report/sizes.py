"""How large the models of a sweep's trials are: as recorded, else measured as `convnn plan` does."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from convnn.data import DATASETS
from search_spaces import TrialConfig
from tune_jobs.ledger import Epoch
from tune_jobs.results import Row

LEAST_S = 1.0
"""In less time torch is not even loaded."""


@dataclass(frozen=True)
class Size:
    """Of one model; `gflops` of one image's forward pass."""

    parameters: int
    gflops: float


def sizes_of(
    rows: list[Row], courses: dict[str, list[Epoch]], measure_s: float, say: Callable[[str], None]
) -> dict[str, Size]:
    """Sizes by run key; of trials with a value those not recorded are measured, the best first, for `measure_s` s."""
    found = dict(_recorded(courses))
    models: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        if row.counts and row.run_key not in found:
            classes = DATASETS[row.config.data.name].classes
            models.setdefault((row.config.model.model_dump_json(), classes), []).append(row)
    if models and measure_s >= LEAST_S:
        say(f"measuring GFLOPs of {len(models)} models ...")
        deadline = time.monotonic() + measure_s
        for (_, classes), same in models.items():
            size = _measured(same[0].config, classes)
            found |= {row.run_key: size for row in same if size is not None}
            if time.monotonic() > deadline:
                break
    return found


def _recorded(courses: dict[str, list[Epoch]]) -> Iterator[tuple[str, Size]]:
    for key, course in courses.items():
        for epoch in course:
            if {"params", "gflops"} <= epoch.metrics.keys():
                yield key, Size(int(epoch.metrics["params"]), epoch.metrics["gflops"])
                break


def _measured(config: TrialConfig, classes: int) -> Size | None:
    import torch

    from convnn.cost import flops, parameters
    from convnn.geometry import IMAGE_SIDE
    from tune_jobs.attempt import build_model

    try:
        with torch.device("meta"):
            model = build_model(config.model, classes)
        return Size(parameters(model), flops(model, (1, 3, IMAGE_SIDE, IMAGE_SIDE)) / 1e9)
    except Exception:  # noqa: BLE001 - a model that cannot be measured has no size, and the report goes on
        return None
