"""`convnn validate`."""

from dataclasses import asdict
from typing import Any

import typer

from search_spaces import Problem, SpecError, load_sweep
from search_spaces.plurals import plural
from tune_jobs.cli.shared.options import AsJson, File, Set, print_json
from tune_jobs.errors import ExitCode
from tune_jobs.planning.stopping import stopping_warnings
from tune_jobs.planning.survey import Survey, survey_of
from tune_jobs.system.redaction import holds_secret

_NOTE = (
    "tracking.uri contains a password or a token, which is then also stored in the sweep's folder; leave the URI out "
    "and set MLFLOW_TRACKING_URI, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, "
    "in the environment."
)


_SHOWN = 100

_LOOKED_AT, _MUCH = 200, 0.1
"""Number of configurations that are checked, and the infeasible share from which on it is reported."""


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
        raise typer.Exit(ExitCode.USAGE) from error
    survey = survey_of(spec, _LOOKED_AT)
    notes = [_NOTE] if holds_secret(spec.tracking.uri or "") else []
    summary = {**spec.describe(), "never": spec.space.dead_pairs(), "looked_at": survey.looked_at}
    warnings = list(stopping_warnings(spec))
    summary |= {"infeasible": dict(survey.infeasible.most_common()), "notes": notes, "warnings": warnings}
    if as_json:
        print_json({"valid": True, **summary})
        return
    points = "a continuous space" if summary["points"] is None else plural(summary["points"], "configuration")
    noun, repeats = (
        ("trial", "") if spec.search.repeats == 1 else ("configuration", f", {spec.search.repeats} seeds each,")
    )
    grid = spec.search.sampler == "grid"
    trials = f"All {points}{repeats}" if grid else f"{plural(summary['trials'], noun)}{repeats} of {points}"
    print(f"{spec.name}: valid. {trials} by {spec.search.sampler}, stopping: {spec.stopping.kind}")
    print(f"  {spec.goal} {spec.metric} (protocol {spec.evaluation.protocol})")
    domains = list(summary["domains"].items())
    for path, domain in domains[:_SHOWN]:
        print(f"  {path.removeprefix('space.')}: {domain}")
    if len(domains) > _SHOWN:
        more = plural(len(domains) - _SHOWN, "more varying field")
        print(f"  and {more} (--json lists them all)")
    for pair in summary["never"]:
        print(f"  {pair}; it is never started")
    lost = survey.infeasible.total()
    if lost and lost >= _MUCH * survey.looked_at:
        print(f"  {_infeasible(survey, lost)}")
    for note in notes:
        print(f"  note: {note}")
    for warning in warnings:
        print(f"  warning: {warning}")


def _infeasible(survey: Survey, lost: int) -> str:
    """Return how much of a space is infeasible, and the most frequent reason."""
    sample = plural(survey.looked_at, "configuration" if survey.whole else "sampled configuration")
    ((reason, times),) = survey.infeasible.most_common(1)
    share = "is" if lost == 1 else "are"
    first = f"{lost:,} of {sample} ({lost / survey.looked_at:.0%}) {share} infeasible and never started"
    return f"{first}; the most frequent reason ({times:,}): {reason}"


def _plain(problem: Problem) -> dict[str, Any]:
    return {**asdict(problem.place), "path": problem.path, "message": problem.message}
