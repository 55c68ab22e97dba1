"""The name of a trial's run, in every tracker."""

from collections.abc import Sequence

from search_spaces.domains import Scalar
from tune_jobs.record.rows import SEARCH, Trial
from tune_jobs.results.columns import Column, fields

NAMED = 5
"""Number of fields in the name of a run."""

SHORT = 8
"""Field names up to this length are joined to their value without a space."""


def run_name(trial: Trial, columns: Sequence[Column]) -> str:
    """Return the name of a trial's run: `005 λ0.125 k9 lr5.8e-4`, with at most NAMED varying fields, and its seed."""
    values, seed = fields(trial.config), trial.config.training.seed
    named = [column for column in columns if values.get(column.key) is not None][:NAMED]
    names = [f"{trial.number:03d}", *(_named(column.name, values[column.key]) for column in named)]
    if trial.repeat_of is not None:
        names.append(f"seed{seed}")
    if trial.role != SEARCH:
        names.append(f"{trial.role} seed {seed}")
    return " ".join(names)


def _named(name: str, value: Scalar) -> str:
    layers, space, what = name.rpartition(" ")  # `conv5-conv8 lambda`
    return f"{layers}{space}{_said(what, value)}"


def _said(name: str, value: Scalar) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return name if value else f"no {name}"
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    mantissa, e, exponent = text.partition("e")
    if isinstance(value, float) and not e and 0 < abs(value) < 0.01:  # noqa: PLR2004 - the usual notation
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        mantissa = mantissa.removesuffix(".0")
    short = f"{mantissa}e{int(exponent)}" if exponent else mantissa
    return f"{'λ' if name == 'lambda' else name}{'' if len(name) <= SHORT else ' '}{short}"
