"""Names configurations in a comparison by the values in which they differ."""

from collections.abc import Sequence

from search_spaces import TrialConfig
from tune_jobs.results.columns import Column, fields, in_a_line, varying

_APART = ("seed", "training.seed", "training.epochs")
"""Fields in which compared configurations may differ."""


def columns_of(configs: Sequence[TrialConfig]) -> list[Column]:
    """Return the fields in which configurations differ, except seed and epochs."""
    return [column for column in varying(configs) if column.key not in _APART]


def labels(configs: Sequence[TrialConfig], columns: Sequence[Column]) -> list[str]:
    """Return a name for each configuration, with as few of these fields as needed; well-known fields come first."""
    found = [fields(config) for config in configs]

    def apart(chosen: Sequence[Column]) -> int:
        return len({tuple(values.get(column.key) for column in chosen) for values in found})

    kept, most = list(columns), apart(columns)
    for column in reversed(columns):
        fewer = [each for each in kept if each is not column]
        if column.key == "kind" and not any(each.key == "lambda" for each in kept):
            continue  # configurations without candidates or k need their kind to be distinguished
        if apart(fewer) == most:
            kept = fewer
    return [_label(config, kept) for config in configs]


def _label(config: TrialConfig, columns: Sequence[Column]) -> str:
    known = fields(config)
    words = [str(known[column.key]) for column in columns if column.key in _BY_THEMSELVES]
    rest = in_a_line(config, [column for column in columns if column.key not in _BY_THEMSELVES])
    return ", ".join([*words, *filter(None, [rest])]) or str(known["kind"] or "layers by depth")


_BY_THEMSELVES = ("model", "kind")
"""Fields whose values are shown without a name."""
