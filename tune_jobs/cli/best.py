"""`convnn best`."""

from dataclasses import replace
from typing import Annotated, Any

import typer

from tune_jobs.cli.shared.options import AsJson, AsYaml, Columns, Storage, Sweep, console, print_json
from tune_jobs.cli.shared.remote import At, sweep_at
from tune_jobs.display.tables import print_leaderboard
from tune_jobs.errors import UsageError
from tune_jobs.record.folder import SweepFolder
from tune_jobs.results.columns import chosen
from tune_jobs.results.history import history
from tune_jobs.results.overview import best_repeats, seeds_json
from tune_jobs.results.summary import read_summary
from tune_jobs.results.words import shown


def best(
    sweep: Sweep,
    storage: Storage = None,
    *,
    address: At = None,
    top: Annotated[int, typer.Option(min=1, help="Number of trials to show.")] = 1,
    columns: Columns = None,
    as_yaml: AsYaml = False,
    as_json: AsJson = False,
) -> None:
    """Show the best trials, and the full configuration of the best one. Example: convnn best quickstart --top 3."""
    with sweep_at(sweep, storage, address) as folder:
        _show_best(folder, top, columns, as_yaml=as_yaml, as_json=as_json)


def _show_best(folder: SweepFolder, top: int, columns: str | None, *, as_yaml: bool, as_json: bool) -> None:
    sweep, summary = folder.name, read_summary(folder)
    chosen_ones = [each for each in summary.configurations if each.rows[0].counts][:top]
    rows = [each.rows[0] for each in chosen_ones]
    if not rows:
        raise UsageError(f"no trial of {sweep} has a result yet. To see its trials: convnn show {sweep}")
    picked = summary.columns if columns is None else chosen(columns, [row.config for row in summary.rows])
    group = best_repeats(summary)
    if as_json:
        trials: list[dict[str, Any]] = [
            {
                **row.as_dict(),
                "varying": {column.name: row.fields.get(column.key) for column in picked},
                "config": row.config.model_dump(mode="json", by_alias=True),
            }
            for row in rows
        ]
        told = {"sweep": sweep, "metric": summary.metric, "goal": summary.goal, "repeats": summary.repeats}
        seeds = seeds_json(group) if group else None
        print_json({**told, "ranked_at_epoch": summary.compared_at, "seeds": seeds, "trials": trials})
        return
    if not as_yaml:
        beside = [row.config for row in summary.shown]
        shown_rows = [row for each in chosen_ones for row in each.rows if row.excluded is None]
        print_leaderboard(console(), replace(summary, rows=shown_rows, beside=beside), columns=picked)
        if group is not None and summary.repeats == 1:
            mean, spread = (shown(value, summary.metric) for value in (group.mean, group.spread))
            print(f"\nThe best configuration over {len(group.rows)} seeds: mean {mean}, sd {spread}")
        print(f"\n{summary.exclusions}\n" if summary.exclusions else "")
    print(history(folder, rows[0].run_key).sweep_file(), end="")
