"""Runs or resumes a confirmation in the folder of its sweep."""

import math
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from search_spaces import SweepSpec, TrialConfig
from search_spaces.settings import Grid, NoStopping, Paper
from tune_jobs.display.live import Progress
from tune_jobs.driver.past import past_of
from tune_jobs.driver.run import run_work
from tune_jobs.driver.sync import recorded_place
from tune_jobs.driver.trials import Sweep, Work
from tune_jobs.errors import LedgerError, UsageError
from tune_jobs.events import Ended, Event, Released
from tune_jobs.evidence.arms import chosen, first_unused, is_plain
from tune_jobs.evidence.champion import champion_of, said
from tune_jobs.evidence.confirmation import Arm, Plan, plan_from, standing
from tune_jobs.evidence.outcome import Confirmed
from tune_jobs.evidence.printed import ConfirmedRun
from tune_jobs.evidence.verdicts import LOOKS
from tune_jobs.executors.registry import RAY_TUNE
from tune_jobs.record.folder import SweepFolder, recorded_spec
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import CONFIRM, ENDED, Trial, confirmed_metric
from tune_jobs.results.summary import summary
from tune_jobs.search.base import SearchMethod
from tune_jobs.search.rounds import Rounds

TOP = 5
MARGINS: dict[str, float] = {"accuracy": 0.005, "loss": 0.02}
"""Default margins, below which differences do not matter: half a point of accuracy."""


@dataclass(frozen=True)
class Wanted:
    """The confirmation that a user asks for."""

    top: int | None = None
    baseline: str | None = None
    """The user's text."""

    baseline_config: TrialConfig | None = None
    """The configuration, if the baseline is from a file."""

    margin: float | None = None
    again: bool = False
    retry: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the settings that distinguish one confirmation from another."""
        config = self.baseline_config
        return {
            "top": self.top,
            "baseline": self.baseline if config is None else config.model_dump(mode="json", by_alias=True),
            "margin": self.margin,
        }


@dataclass(frozen=True)
class Opening:
    """One opening of the test set: a confirmation with all its looks, resumes and retries."""

    opened: str
    asked: dict[str, Any]
    plan: Plan

    def as_dict(self) -> dict[str, Any]:
        """Return it for the ledger."""
        return {"opened": self.opened, "asked": self.asked, "plan": self.plan.as_dict()}


def openings(ledger: Ledger) -> list[Opening]:
    """Return all openings of a sweep, the latest last.

    Raises:
        LedgerError: If the ledger's entry is not valid.
    """
    try:
        return [
            Opening(str(each["opened"]), dict(each["asked"]), plan_from(each["plan"]))
            for each in ledger.meta.confirmations
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise LedgerError(f"{ledger.path} has a confirmation that cannot be read: {error}") from error


def confirm(
    folder: SweepFolder,
    wanted: Wanted,
    progress: Progress | bool = True,
    *,
    overrides: Sequence[str] = (),
    ray_address: str | None = None,
    executor: str = RAY_TUNE,
) -> Confirmed:
    """Run the best configurations of a sweep again with new seeds, or resume that.

    Args:
        folder: The sweep's folder.
        wanted: The requested configurations and baseline.
        progress: See `tune_jobs.driver.run.run`.
        overrides: `path=value` changes of its budget, resources or tracking.
        ray_address: See `tune_jobs.driver.run.run`.
        executor: See `tune_jobs.driver.run.run`.

    Raises:
        UsageError: If there is nothing to confirm, or another confirmation exists and `again` is not set.
        SweepError: As for a run of the sweep.
    """
    spec = recorded_spec(folder, overrides)
    with closing(Ledger(folder.ledger)) as ledger:
        _opening(folder.name, spec, ledger, wanted)
        there = openings(ledger)
        if there and not wanted.again:
            found = _found(folder.name, spec, ledger)
            known = found.champion in (None, ledger.meta.champion)
            if found.standing.over and known and not (wanted.retry and found.failed):
                return replace(found, tracked=recorded_place(folder))
    outcome = run_work(
        folder,
        spec,
        as_confirmed(spec),
        partial(work_of, spec=spec, wanted=wanted),
        progress,
        ray_address=ray_address,
        executor=executor,
    )
    with closing(Ledger(folder.ledger)) as ledger:
        return replace(_found(folder.name, spec, ledger), halt=outcome.halt, tracked=outcome.tracked)


def read_confirmed(folder: SweepFolder) -> Confirmed | None:
    """Return the status of a sweep's latest confirmation; `None` without one."""
    with closing(Ledger(folder.ledger)) as ledger:
        return _found(folder.name, recorded_spec(folder), ledger) if openings(ledger) else None


def run_of(folder: SweepFolder, run_key: str) -> ConfirmedRun | None:
    """Describe a run of a confirmation; `None` for any other trial."""
    with closing(Ledger(folder.ledger)) as ledger:
        there = openings(ledger)
    for opening in reversed(there):
        plan = opening.plan
        for arm in plan.arms:
            for run, (key, config) in enumerate(plan.runs(arm, plan.looks[-1]), start=1):
                if key == run_key:
                    look, runs = next((n, count) for n, count in enumerate(plan.looks, start=1) if run <= count)
                    seed, baseline = config.training.seed, arm is plan.baseline
                    return ConfirmedRun(
                        opened=opening.opened, of=arm.trial, baseline=baseline, seed=seed, run=run, look=look, runs=runs
                    )
    return None


def as_confirmed(spec: SweepSpec) -> SweepSpec:
    """Return the sweep with a confirmation's settings: all training images, the test set, no stopping rule."""
    search, stopping = Grid(sampler="grid"), NoStopping(kind="none", max_failed_fraction=1)
    return replace(
        spec, evaluation=Paper(protocol="paper"), metric=confirmed_metric(spec.metric), search=search, stopping=stopping
    )


def _opening(name: str, spec: SweepSpec, ledger: Ledger, wanted: Wanted) -> Opening:
    """Return the confirmation to resume, or a new one."""
    there = openings(ledger)
    if there and not wanted.again:
        asked, before = wanted.as_dict(), there[-1].asked
        other = [key for key, value in asked.items() if value is not None and value != before.get(key)]
        if not other:
            return there[-1]
        differs = ", ".join(f"{key} {asked[key]}, was {before.get(key) or 'not given'}" for key in other)
        raise UsageError(
            f"the test set of {name} was opened on {there[-1].opened} for another confirmation ({differs}). A new "
            f"choice would be made after seeing its results. To resume that confirmation: convnn confirm {name}; to "
            f"open the test set once more, which is recorded and reported: --again"
        )
    return _new(name, spec, ledger, wanted)


def _new(name: str, spec: SweepSpec, ledger: Ledger, wanted: Wanted) -> Opening:
    found = summary(name, ledger)
    baseline = None
    if wanted.baseline_config is not None:
        baseline = Arm(wanted.baseline_config, None)
    elif wanted.baseline is not None:
        row = found.trial(wanted.baseline)
        baseline = Arm(row.config, row.number, row.value)
    candidates, baseline, why = chosen(found, wanted.top or TOP, baseline)
    used = {trial.config.training.seed for trial in ledger.trials(role=None)}
    judged = as_confirmed(spec)
    plan = Plan(
        candidates,
        baseline,
        why,
        first_unused(used, LOOKS[-1]),
        MARGINS[judged.metric.partition("/")[2]] if wanted.margin is None else wanted.margin,
        judged.metric,
        judged.goal,
    )
    return Opening(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), wanted.as_dict(), plan)


def work_of(sweep: Sweep, *, spec: SweepSpec, wanted: Wanted) -> Work:
    """Return the work of a confirmation. A new plan is recorded first, and is fixed from then on."""
    ledger, name = sweep.ledger, sweep.folder.name
    opening = _opening(name, spec, ledger, wanted)
    there = openings(ledger)
    if opening not in there:
        ledger.meta.confirmations = [each.as_dict() for each in (*there, opening)]
        if not (found := summary(name, ledger)).whole:
            of = f" of {found.planned}" if found.planned else ""
            sweep.progress.say(
                f"the search is unfinished ({found.ended}{of} trials have ended): its best trials so far are run again"
            )
    plan = opening.plan
    sweep.progress.say(_begun(plan, sum(trial.state in ENDED for trial in _trials(ledger, plan))))
    if wanted.retry:
        ledger.reopen(trial.run_key for trial in _trials(ledger, plan) if trial.state == "failed")

    def search_of(ledger: Ledger) -> SearchMethod:
        return Rounds(sweep.spec, past_of(ledger, CONFIRM), lambda *ended: standing(plan, *ended).due, role=CONFIRM)

    shown = partial(summary, name, ledger, role=CONFIRM, metric=plan.metric)
    firsts = {key for arm in plan.arms for key, _ in plan.runs(arm, 1)}

    def conclude() -> None:
        found = _found(name, spec, ledger).champion
        if found not in (None, ledger.meta.champion):
            ledger.meta.champion = found

    configs = [config for arm in plan.arms for _, config in plan.runs(arm, 2)]
    return Work(search_of, _KeepFirst(sweep.folder, firsts), shown, "confirm", configs, conclude)


def _begun(plan: Plan, ended: int) -> str:
    """Return a message about the runs to come."""
    numbers = ", ".join("a file" if arm.trial is None else f"trial {arm.trial}" for arm in plan.candidates)
    *before, last = plan.looks
    so_far = f"; {ended} runs have ended" if ended else ""
    return (
        f"confirming {numbers} against the baseline, {said(plan.baseline)}: {', '.join(map(str, before))} or {last} "
        f"seeds of each, at most {last * len(plan.arms)} runs{so_far}"
    )


class _KeepFirst:
    """Keeps the weights of one run per configuration: the run with the first seed, so that no result is selected."""

    def __init__(self, folder: SweepFolder, firsts: set[str]) -> None:
        self._folder, self._firsts = folder, firsts

    def tidy(self) -> None:
        """Do nothing: later events remove all unneeded checkpoints."""

    def take(self, event: Event) -> None:
        """Remove checkpoints that are no longer needed."""
        gone = isinstance(event, Ended) and event.state in ("stopped", "diverged")
        if not gone and not (isinstance(event, Released) and event.state == "complete"):
            return
        kept = 0 if gone or event.job.run_key not in self._firsts else 1
        with suppress(OSError):
            for path in self._folder.checkpoints(event.job.run_key)[kept:]:
                path.unlink(missing_ok=True)


def _trials(ledger: Ledger, plan: Plan) -> list[Trial]:
    keys = {key for arm in plan.arms for key, _ in plan.runs(arm, plan.looks[-1])}
    return [trial for trial in ledger.trials(CONFIRM) if trial.run_key in keys]


def _found(name: str, spec: SweepSpec, ledger: Ledger) -> Confirmed:
    there = openings(ledger)
    plan, latest = there[-1].plan, ledger.latest_epochs()
    trials = _trials(ledger, plan)
    ended = {trial.run_key: trial for trial in trials if trial.state in ENDED}
    values = {key: latest[key].metrics.get(plan.metric, math.nan) for key in ended if key in latest}
    finals = {key: value for key, value in values.items() if ended[key].state == "complete" and math.isfinite(value)}
    stands = standing(plan, finals, [key for key in ended if key not in finals])
    runner_up = there[-1].asked.get("baseline") is None and not is_plain(plan.baseline.config)
    return Confirmed(
        sweep=name,
        plan=plan,
        standing=stands,
        opened=there[-1].opened,
        openings=len(there),
        open_all_along=isinstance(spec.evaluation, Paper),
        failed=sum(trial.state == "failed" for trial in trials),
        trials=tuple(trial.number for trial in trials),
        champion=champion_of(plan, stands, there[-1].opened, runner_up=runner_up),
    )
