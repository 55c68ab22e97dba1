"""What a configuration is called beside others: the values in which they differ."""

from collections import Counter
from collections.abc import Sequence

from search_spaces import TrialConfig
from tune_jobs.results.columns import Column, fields, in_a_line, varying

_APART = ("seed", "training.seed", "training.epochs")
"""Fields that configurations need not share to be compared."""


def columns_of(configs: Sequence[TrialConfig]) -> list[Column]:
    """The fields in which they differ, but for seed and epochs."""
    return [column for column in varying(configs) if column.key not in _APART]


def labels(configs: Sequence[TrialConfig], columns: Sequence[Column]) -> list[str]:
    """A name for each, of the fields that have more than one value, and of all that differ where that is not enough."""
    found = [fields(config) for config in configs]
    several = [column for column in columns if len({v.get(column.key) for v in found} - {None}) > 1]
    short = [_label(config, several) for config in configs]
    counts = Counter(short)
    return [text if counts[text] == 1 else _label(config, columns) for text, config in zip(short, configs, strict=True)]


def _label(config: TrialConfig, columns: Sequence[Column]) -> str:
    kinds = [column for column in columns if column.key == "kind"]
    kind = str(fields(config)["kind"]) if kinds else ""
    rest = in_a_line(config, [column for column in columns if column.key != "kind"])
    return ", ".join(filter(None, (kind, rest))) or config.model.name
