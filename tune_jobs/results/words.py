"""Formats numbers for people: values of an objective, and durations."""

import math
import time

from tune_jobs.record.rows import Champion

HOUR_S = 3600.0

USED = {"gpu_hours": "GPU time", "cpu_hours": "CPU time", "wall_hours": "running time"}
"""Resources that a sweep uses, by the field of its budget."""


def shown(value: float | None, metric: str) -> str:
    """Format a value of an objective: an accuracy in percent, a loss unchanged."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return str(value)
    return f"{value:.2%}" if "accuracy" in metric else f"{value:.4f}"


def champion_said(champion: Champion) -> str:
    """Describe a champion and its result: `trial 3, test/accuracy 74.10% over 4 seeds`."""
    which = "the configuration of a file" if champion.trial is None else f"trial {champion.trial}"
    mean, runs = champion.numbers.get("mean"), champion.numbers.get("runs", 0)
    return f"{which}, {champion.metric} {shown(mean, champion.metric)} over {runs:.0f} seeds"


def gain(value: float, metric: str) -> str:
    """Format a difference of an objective: of accuracies in percentage points, of losses unchanged."""
    if "accuracy" in metric:
        points = float(f"{100 * value:.2g}")
        return f"{points:g} {'point' if points == 1 else 'points'}"
    return f"{value:.3g}"


def gains(low: float, high: float, metric: str) -> str:
    """Format an interval of a difference: `1.2 to 3.4 points`."""
    if "accuracy" in metric:
        places = min(4, max(1, math.ceil(-math.log10(100 * low)))) if low > 0 else 1
        return f"{100 * low:.{places}f} to {100 * high:.{places}f} points"
    return f"{low:.3g} to {high:.3g}"


def iso_time(at: float | None) -> str | None:
    """Format a time for programs, in UTC: `2026-11-29T12:00:00Z`."""
    return None if at is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def duration(seconds: float) -> str:
    """Format a duration: `3.2 s`, `42 s`, `3 min 5 s`, `1 h 12 min`, `31 h`."""
    if not math.isfinite(seconds):
        return "-"
    if seconds < 10:  # noqa: PLR2004 - below, tenths matter
        return f"{max(0.0, seconds):.1f} s" if seconds > 0 else "0 s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours >= 24:  # noqa: PLR2004 - a day
        return f"{round(seconds / 3600)} h"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    if minutes:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{rest} s"
