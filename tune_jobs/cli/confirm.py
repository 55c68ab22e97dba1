"""`convnn confirm`."""

import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tune_jobs.cli.shared.notifying import Notifier, Notify
from tune_jobs.cli.shared.options import (
    AcceptCode,
    AsJson,
    Set,
    Storage,
    Sweep,
    accepting,
    console,
    print_json,
    resuming,
    setting,
    storage_of,
)
from tune_jobs.cli.shared.point import only_point
from tune_jobs.cli.shared.running import AnyAddress, Detach, on_cluster, watched
from tune_jobs.errors import ExitCode, UsageError
from tune_jobs.record.rows import CONFIRM
from tune_jobs.system.visible import visible

if TYPE_CHECKING:
    from rich.table import Table

    from search_spaces import TrialConfig
    from tune_jobs.evidence.confirmation import ArmResult
    from tune_jobs.evidence.outcome import Confirmed


def confirm(
    sweep: Sweep,
    overrides: Set = None,
    storage: Storage = None,
    *,
    top: Annotated[
        int | None, typer.Option(min=1, max=50, help="Number of best configurations to confirm.", show_default="5")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="TRIAL|FILE",
            help="The configuration to compare with: a trial of the sweep, or a file with one configuration. Default: "
            "the best plain convolution or plain attention of the sweep, else its second best configuration.",
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Differences below this do not matter, in points of accuracy or in loss.",
            show_default="0.5; 0.02",
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Open the test set again; this is recorded and reported.")
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Run failed runs again.")] = False,
    address: AnyAddress = None,
    detach: Detach = False,
    accept_code: AcceptCode = False,
    notify: Notify = None,
    as_json: AsJson = False,
) -> None:
    """Run the best configurations again with new seeds, to find out whether they are really better.

    Example: convnn confirm quickstart --top 3. They are trained on all training images and tested against a baseline,
    with 2, 4, 8 and 16 seeds, until the result is clear. Rerun the same command to resume. You can change resources,
    budget and tracking with --set.
    """
    options = _typed(overrides, top, baseline, margin, again=again, retry=retry) + accepting(accept_code)
    if on_cluster("confirm", sweep, address, storage, options, detach=detach, as_json=as_json, notify=notify):
        return
    from tune_jobs.evidence.confirm import Wanted
    from tune_jobs.evidence.confirm import confirm as confirm_sweep
    from tune_jobs.record.folder import find_sweep, recorded_spec

    folder = find_sweep(sweep, storage_of(storage))
    unit = 0.01 if recorded_spec(folder).metric.endswith("accuracy") else 1.0
    wanted = Wanted(
        top,
        baseline,
        None if baseline is None else _config_of(baseline),
        None if margin is None else margin * unit,
        again,
        retry,
    )
    notifier = Notifier(notify, folder, resuming("confirm", folder.name, storage), CONFIRM)
    start = partial(confirm_sweep, folder, wanted, overrides=overrides or (), ray_address=address)
    found = watched(partial(start, accept_code=accept_code), notifier, as_json=as_json)
    notifier.ended(found.halt, all_failed=found.all_failed, result=found.verdict)
    with closing(notifier):
        if as_json:
            print_json(found.as_dict())
        else:
            _report(found, notifier.again)
    raise typer.Exit(_end(found, notifier.again))


def _end(found: "Confirmed", again: str) -> int:
    """Print why the confirmation ended early, if it did, and return the exit code."""
    if found.halt is None:
        return ExitCode.FAILED if found.all_failed else ExitCode.SOME_FAILED if found.failed else ExitCode.DONE
    interrupted = f"Interrupted; nothing is lost. Resume with:\n  {again}"
    print(f"\n{interrupted if found.halt.signal is not None else found.halt.message}", file=sys.stderr)
    return found.halt.exit_code


def _typed(
    overrides: list[str] | None,
    top: int | None,
    baseline: str | None,
    margin: float | None,
    *,
    again: bool,
    retry: bool,
) -> list[str]:
    """Return the options as words, for the same command on a cluster."""
    words = setting(overrides)
    for name, value in (("--top", top), ("--baseline", baseline), ("--margin", margin)):
        words += [] if value is None else [name, str(value)]
    return [*words, *(["--again"] if again else []), *(["--retry"] if retry else [])]


def _config_of(baseline: str) -> "TrialConfig | None":
    """Return the configuration of a file; `None` if the baseline is a trial."""
    if not Path(baseline).suffix and not Path(baseline).is_file():
        return None
    from search_spaces import load_sweep

    try:
        return only_point(load_sweep(baseline, ()), baseline)
    except FileNotFoundError:
        raise UsageError(
            f"--baseline must be a trial's number or a file with one configuration, got {baseline}, and that file does "
            f"not exist."
        ) from None


def _report(found: "Confirmed", again: str) -> None:
    """Print what was compared and how, one line per configuration, and the conclusion."""
    from tune_jobs.evidence.outcome import METHOD, points
    from tune_jobs.results.words import shown

    plan = found.plan
    print(f"\nconfirmation of {found.sweep}: {plan.metric}, trained on all training images, new seeds")
    print(visible(f"baseline: {_name(found.standing.baseline)}, {plan.why_baseline}"))
    if found.open_all_along:
        print("The search itself used the test set, so the results of its best configurations are too optimistic.")
    print(_openings(found))
    print()
    console().print(_table(found))
    print(
        f"\nDifference from the baseline, with its {1 - plan.error:.0%} interval. {METHOD}. "
        f"Differences below {points(plan.margin, plan.metric)} do not matter (--margin). A difference is that of the "
        "configuration's last look, from the same number of runs of the baseline."
    )
    print("Promised: the value that the search found, on the images that it used.")
    print(f"\n{found.verdict}")
    best = found.standing.best
    if best is not None and best.values:
        mean = sum(best.values) / len(best.values)
        print(f"  {plan.metric} {shown(mean, plan.metric)} over {len(best.values)} seeds")
    if found.trials:
        first, last = min(found.trials), max(found.trials)
        print(f"\nIts runs are trials {first} to {last}. To show one: convnn show {found.sweep} {first}")
    _report_champion(found)
    if found.failed:
        noun = "1 run" if found.failed == 1 else f"{found.failed} runs"
        print(f"{noun} failed. After fixing the cause: {again} --retry")


def _openings(found: "Confirmed") -> str:
    """Return how often the test set was opened; a confirmation counts once, with all its looks and resumes."""
    if found.openings == 1:
        return f"The test set was opened once, on {found.opened}."
    return f"The test set has been opened {found.openings} times for this sweep; this is the latest, on {found.opened}."


def _report_champion(found: "Confirmed") -> None:
    """Print the champion, and where its weights are."""
    if found.champion is None:
        return
    from tune_jobs.evidence.champion import champion_shown

    print("\n" + "\n".join(champion_shown(found.champion, found.sweep)))
    if found.tracked is not None and found.tracked.model is not None:
        print(visible(f"  in MLflow: {found.tracked.model}"))
    else:
        print(f"  not in MLflow's model registry; to register it: convnn sync {found.sweep}")


def _table(found: "Confirmed") -> "Table":
    from rich.table import Table

    from tune_jobs.display.tables import cell
    from tune_jobs.evidence.champion import difference_said
    from tune_jobs.evidence.outcome import mean_of, optimism, points, sd_of, verdict_on
    from tune_jobs.results.columns import fields, varying
    from tune_jobs.results.words import shown

    plan, standing = found.plan, found.standing
    columns = varying([arm.config for arm in plan.arms], ())
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("trial", *(column.name for column in columns), "n", "mean", "sd", "promised", "too good by"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("difference", no_wrap=True)
    table.add_column("verdict")
    for result in (standing.baseline, *standing.candidates):
        values = fields(result.arm.config)
        numbers = [shown(value, plan.metric) for value in (mean_of(result), sd_of(result), result.arm.promised)]
        over = optimism(result, plan.goal)
        table.add_row(
            _name(result).removeprefix("trial "),
            *(cell(values.get(column.key)) for column in columns),
            str(len(result.values)),
            *numbers,
            "-" if over is None else points(over, plan.metric),
            difference_said(result, plan.metric),
            "baseline" if result is standing.baseline else verdict_on(result, plan),
        )
    return table


def _name(result: "ArmResult") -> str:
    return "file" if result.arm.trial is None else f"trial {result.arm.trial}"
