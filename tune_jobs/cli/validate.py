"""`convnn validate`."""

from dataclasses import asdict
from typing import Any

import typer

from search_spaces import Problem, SpecError, load_sweep
from tune_jobs.cli.shared.options import AsJson, File, Set, print_json
from tune_jobs.system.redaction import holds_secret

_NOTE = (
    "tracking.uri holds a password or a token, which the sweep's folder then has, too; leave the uri out and set "
    "MLFLOW_TRACKING_URI, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, in the "
    "environment."
)


_SHOWN = 100


def validate(file: File, overrides: Set = None, *, as_json: AsJson = False) -> None:
    """Check a sweep file, and show what it would search.

    Every mistake is reported, with file, line and column. Example: convnn validate my-sweep.yaml
    """
    try:
        spec = load_sweep(file, overrides or ())
    except SpecError as error:
        if not as_json:
            raise
        print_json({"valid": False, "problems": [_plain(problem) for problem in error.problems]})
        raise typer.Exit(2) from error
    notes = [_NOTE] if holds_secret(spec.tracking.uri or "") else []
    summary = {**spec.describe(), "never": spec.space.dead_pairs(), "notes": notes}
    if as_json:
        print_json({"valid": True, **summary})
        return
    points = "a continuous space" if summary["points"] is None else f"{summary['points']} points"
    trials = "every point" if spec.search.sampler == "grid" else f"{summary['trials']} trials"
    print(f"{spec.name}: valid. {trials} of {points} by {spec.search.sampler}, stopping: {spec.stopping.kind}")
    print(f"  {spec.goal} {spec.metric} (protocol {spec.evaluation.protocol})")
    domains = list(summary["domains"].items())
    for path, domain in domains[:_SHOWN]:
        print(f"  {path.removeprefix('space.')}: {domain}")
    if len(domains) > _SHOWN:
        print(f"  and {len(domains) - _SHOWN:,} more fields that vary (--json lists them all)")
    for pair in summary["never"]:
        print(f"  {pair}; it is never started")
    for note in notes:
        print(f"  note: {note}")


def _plain(problem: Problem) -> dict[str, Any]:
    return {**asdict(problem.place), "path": problem.path, "message": problem.message}
