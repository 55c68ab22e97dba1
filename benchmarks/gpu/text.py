"""The result as Markdown, with the bottleneck of each case."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.gpu.cases import WITH_KERNELS
from benchmarks.gpu.parity import AGREE, TOLERANCES
from benchmarks.gpu.rows import LayerRow, Report, Row

BUSY = 0.85
"""At or above this busy fraction, kernels limit the step; below it, the gaps between them."""


def document(report: Report) -> dict[str, Any]:
    """Return the whole report as plain data for `json.dumps`."""
    return {**asdict(report), "verdicts": verdicts(report), "not_run": report.missing()}


def verdicts(report: Report) -> list[str]:
    """Return the bottleneck of each timed case."""
    rows = [row for row in report.cases if row.status == "ok"]
    if report.device == "cpu":
        return ["Only a run on a GPU shows what limits a step."] if rows else []
    return [verdict(row) for row in rows]


def verdict(row: Row) -> str:
    """Return the bottleneck of a step, and what to do first."""
    if row.busy_ms is None or row.launches is None:
        return f"{row}: no kernels were traced, so the bottleneck of the step is unknown."
    step = statistics.median(row.step_ms)
    share = min(1.0, row.busy_ms / step)
    text = f"{row}: kernels are busy {share:.0%} of the step"
    if share >= BUSY:
        text += f": they limit it ({row.launches:,.0f} of them, {1e3 * row.busy_ms / row.launches:.0f} us each); "
        return text + "fuse kernels first."
    text += f": launches limit it ({row.launches:,.0f} of them, {1e3 * step / row.launches:.0f} us from one to the next"
    text += f"); use CUDA graphs first, for a speedup of at most {1 / share:.1f}"
    if row.waits:
        text += f", but first remove {row.waits} waits of the host at {', '.join(row.waits_at[:3])}"
    return text + "."


def number(value: float | None, form: str = ".2f") -> str:
    """Format a number, or return a dash for `None`."""
    return "-" if value is None else f"{value:{form}}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def case_cells(row: Row) -> list[str]:
    """Return a row of the table of cases."""
    parity = "-" if row.parity is None else str(row.parity)
    if not row.step_ms:
        return [row.name, row.precision, parity, row.status, *["-"] * 7]
    step = statistics.median(row.step_ms)
    timed = f"{step:.2f} ({min(row.step_ms):.2f} to {max(row.step_ms):.2f}; {len(row.step_ms)})"
    return [
        row.name,
        row.precision,
        parity,
        timed if row.status == "ok" else row.status,
        number(row.epoch_ms),
        number(row.launches, ",.0f"),
        number(row.busy_ms),
        number(None if row.busy_ms is None else row.busy_ms / step, ".0%"),
        number(row.waits, "d"),
        number(row.memory_gb),
        number(row.evaluation_ms),
    ]


def layer_cells(row: LayerRow) -> list[str]:
    """Return a row of the table of layers."""
    launching = None if row.eager_ms is None or row.replay_ms is None else row.eager_ms - row.replay_ms
    replayed = number(row.replay_ms, ".3f") if row.status == "ok" else row.status
    return [row.name, str(row.batch), row.precision, number(row.eager_ms, ".3f"), replayed, number(launching, ".3f")]


def short(name: str) -> str:
    """Shorten a kernel's name to 80 characters that are safe for a table."""
    name = name.removeprefix("void ").replace("at::native::", "").replace("|", "/")
    return name if len(name) <= 80 else f"{name[:77]}..."  # noqa: PLR2004 - 80


def markdown(report: Report) -> str:
    """Return the whole result as Markdown."""
    launches = "launches" if report.device == "cuda" else "operations"
    lines = [f"# Time of a training step, {report.date}", "", f"Machine: {report.machine}."]
    lines += [f"Command: `{report.command}`; batches of {report.batch}.", ""]
    limits = ", ".join(f"{limit:g} in {precision}" for precision, limit in TOLERANCES.items())
    lines += [f"Parity: relative errors against float64 on the CPU, per layer and image; {AGREE:.0%} must be within"]
    lines += [f"{limits}. Times are in milliseconds; step: median (min to max; steps)."]
    head = ["case", "precision", "parity", "step", "epoch per step", launches, "busy", "share", "waits", "GB"]
    if report.cases:
        lines += ["", "## Training", "", *table([*head, "evaluation per batch"], map(case_cells, report.cases))]
        lines += ["", "## Bottlenecks", "", *(f"- {line}" for line in verdicts(report))]
    for row in report.cases:
        if (row.name, row.precision) in WITH_KERNELS and row.kernels:
            cells = ([f"`{short(one.name)}`", f"{one.share:.1%}", f"{one.count:.1f}"] for one in row.kernels)
            lines += ["", f"## Kernels of {row}", "", *table(["kernel", "share of busy", "per step"], cells)]
    head = ["layer", "batch", "precision", "eager", "replayed", "difference (launching)"]
    if report.layers:
        lines += ["", "## Layers, forward and backward", "", *table(head, map(layer_cells, report.layers))]
    if report.missing():
        lines += ["", "## Not run", "", *(f"- {name}" for name in report.missing())]
    return "\n".join(lines) + "\n"
