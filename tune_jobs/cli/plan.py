"""`convnn plan`."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import typer
from rich.table import Table

from search_spaces.plurals import plural
from search_spaces.settings import HOURS
from tune_jobs.cli.shared.loading import Small, sweep_of
from tune_jobs.cli.shared.options import AsJson, File, Set, console, print_json
from tune_jobs.display.tables import cell, width_of
from tune_jobs.errors import UsageError
from tune_jobs.planning.devices import Estimate
from tune_jobs.planning.plan import Plan
from tune_jobs.planning.plan import plan as plan_sweep
from tune_jobs.planning.resolution import Resolution
from tune_jobs.worker.sizing import TrialCost

_SHOWN = 5


def plan(
    file: File,
    overrides: Set = None,
    *,
    gpus: Annotated[
        int | None, typer.Option(min=1, help="GPUs that the trials may share, on the machine to plan for. Default: 1.")
    ] = None,
    cpus: Annotated[
        int | None,
        typer.Option(min=1, help="CPUs of the machine to plan for. Default: those that this process may use."),
    ] = None,
    throughput: Annotated[
        float | None, typer.Option(min=0.001, help="Training images per second of the median trial, to estimate hours.")
    ] = None,
    small: Small = False,
    measure: Annotated[
        bool, typer.Option(help="Train three trials here for a few seconds, to estimate hours.")
    ] = False,
    resolve: Annotated[
        float | None,
        typer.Option(
            metavar="POINTS",
            help="Estimate how many seeds and hours it takes to detect this difference between the best configuration "
            "and a baseline, in points of accuracy or in loss.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a sweep will do and cost, before it starts. Example: convnn plan quickstart --measure."""
    if throughput is not None and measure:
        raise UsageError("--throughput and --measure both give the speed; leave one out.")
    spec = sweep_of(file, overrides, small=small)
    try:
        found = plan_sweep(
            spec,
            gpus=gpus,
            cpus=cpus,
            throughput=throughput,
            measure=measure,
            say=lambda text: print(text, file=sys.stderr, flush=True),
        )
    except (RuntimeError, AssertionError) as error:  # torch raises these if there is no GPU
        if measure:
            raise UsageError(f"the trials cannot be measured here: {error}; give --throughput instead.") from error
        raise
    if resolve is not None:
        from tune_jobs.evidence.resolve import resolution

        found = replace(found, resolve=resolution(spec, found, resolve))
    if as_json:
        print_json(found.as_dict())
    else:
        _show(found)


def _show(found: Plan) -> None:
    points = "a continuous space" if found.points is None else plural(found.points, "configuration")
    seen = "" if found.points == found.looked_at else f" ({found.looked_at:,} drawn)"
    print(f"{found.name}: {points}{seen}")
    cannot = sum(found.infeasible.values())
    print(f"  {cannot:,} infeasible, {found.equivalent:,} duplicates, {found.distinct:,} distinct")
    for reason, count in list(found.infeasible.items())[:_SHOWN]:
        print(f"    {count:,}: {reason}")
    if len(found.infeasible) > _SHOWN:
        print(f"    and {plural(len(found.infeasible) - _SHOWN, 'more reason')}; --json lists them all")
    for pair in found.never:
        print(f"    {pair}")
    _show_trials(found)
    print()
    _show_costs(found.trial_costs)
    if found.trial_costs:
        print(f"  (sizes by {found.sized_by})")
    print(f"\n{plural(found.slots, 'trial')} at a time")
    if found.wall_hours is None:
        print("time: unknown; add --throughput, or --measure to measure it here")
        _show_estimates(found.estimates)
    else:
        gpu = f"{_hours(found.gpu_hours)} of GPU, " if found.gpu_hours is not None else ""
        print(f"time: {gpu}{_hours(found.cpu_hours)} of CPU, {_hours(found.wall_hours)} from start to end")
        print(f"  (speed {found.speed_from}; without loading images and starting workers)")
    if found.budget:
        print(f"budget: {', '.join(_of_the_budget(found))}")
    print(f"disk: about {found.disk_gb:.2g} GB, MLflow: {plural(found.mlflow_rows, 'row')}")
    if found.resolve is not None:
        _show_resolution(found.resolve)
    for warning in found.warnings:
        print(f"warning: {warning}")


def _show_resolution(found: Resolution) -> None:
    """Print the number of seeds that detects a difference, and the assumptions."""
    accuracy = found.metric.endswith("accuracy")

    def said(value: float) -> str:
        return f"{100 * value:.2f} points" if accuracy else f"{value:.4f}"

    took = f", about {_hours(found.wall_hours)}" if found.wall_hours is not None else ""
    print(
        f"to detect {said(found.difference)} of {found.metric}: {found.seeds:,} seeds of each of "
        f"{found.configurations} configurations, {plural(found.trials, 'trial')}{took}"
    )
    if found.seeds > found.most_seeds:
        print(f"  convnn confirm runs at most {found.most_seeds} seeds, which detect {said(found.resolved_by_most)}")
    print(
        f"  (standard deviation {said(found.sd)}: {found.sd_of}; {found.method}; power {found.power:.0%}, error "
        f"{found.error:.0%} for all together)"
    )


def _show_trials(found: Plan) -> None:
    epochs, images = plural(found.trial_epochs, "epoch"), plural(found.images_per_epoch, "image")
    at_most = "at most " * found.at_most
    if found.repeats > 1:
        about = at_most or "about " * bool(found.ladder)
        said = f"configurations: {found.trials:,}, {found.repeats} seeds each: {about}{found.runs:,} trials"
        print(f"{said}, {at_most}{epochs} in total, {images} per epoch")
        print("  the other seeds of a configuration are trained only if its first seed runs to the end")
    else:
        print(f"trials: {found.trials:,}, {at_most}{epochs} in total, {images} per epoch")
    if found.at_most:
        print("  the savings of the stopping rule are unknown before trials run; the numbers below are for all epochs")
    if found.earliest_end is not None:
        print(f"  stopping.enough can end the sweep after {plural(found.earliest_end, 'trial')} at the earliest")
    for rung in found.ladder:
        print(f"  after epoch {rung.epoch} about {rung.survivors:,} continue")


def _show_estimates(estimates: list[Estimate]) -> None:
    for each in estimates:
        where = (
            f"on an {each.device}{', as on this machine' if each.here else ''}"
            if _on_gpu(each)
            else f"on {each.device}"
        )
        print(f"  {where} (recorded {each.recorded}, version {each.version}): {_range(each)}")
    if estimates:
        print("  (without decoding images, the first compilation and starting Ray)")


def _on_gpu(estimate: Estimate) -> bool:
    return estimate.unit == "GPU-hours"


def _range(estimate: Estimate) -> str:
    """Return `1.2 to 3.4 GPU-hours`; below one hour in minutes."""
    in_minutes = estimate.high < 1
    low, high = (_two_digits(hours * (60 if in_minutes else 1)) for hours in (estimate.low, estimate.high))
    return f"{low} to {high} {estimate.unit.replace('hours', 'minutes') if in_minutes else estimate.unit}"


def _two_digits(number: float) -> str:
    return f"{float(f'{number:.2g}'):,g}"


def _of_the_budget(found: Plan) -> Iterator[str]:
    """Yield each limit, with the planned use of it if known."""
    for field, limit in found.budget.items():
        planned = found.runs if field == "trials" else getattr(found, field)
        known = "" if planned is None else f"{planned:,} of " if field == "trials" else f"about {planned:.3g} of "
        many = HOURS.get(field, field)
        yield f"{known}{plural(limit, many.replace('trials', 'trial').replace('hours', 'hour'), many)}"


def _show_costs(costs: dict[str, TrialCost]) -> None:
    said = list(dict.fromkeys(key for cost in costs.values() for key in cost.params if key != "lr"))
    by_depth = [key for key in said if " " in key]  # such as `conv5-conv8 lambda`; it replaces the common column
    said = [key for key in said if key not in {key.rpartition(" ")[2] for key in by_depth}]
    while width_of(table := _costs(costs, said)) > console().width and by_depth:
        said.remove(by_depth.pop())
    console().print(table)


def _costs(costs: dict[str, TrialCost], said: list[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("trial")
    for name in (*said, "parameters", "GFLOPs", "memory GB", "images/s"):
        table.add_column(name, justify="right")
    for name, cost in costs.items():
        params = [cost.params.get(key) for key in said]
        rate = f"{cost.images_per_s:,.0f}" if cost.images_per_s else "-"
        numbers = (f"{cost.parameters:,}", f"{cost.gflops:.4g}", f"{cost.memory_gb:.3g}", rate)
        table.add_row(name, *map(cell, params), *numbers)
    return table


def _hours(hours: float | None) -> str:
    assert hours is not None
    if hours < 1 / 60:
        return f"{hours * 3600:.0f} s"
    return f"{hours * 60:.0f} min" if hours < 1 else f"{hours:,.1f} h"
