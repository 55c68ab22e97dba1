"""Opens a sweep at the start of a run: checks that its folder is writable and that its ledger is of the same sweep."""

import tempfile
import time
from contextlib import closing

from search_spaces import SweepSpec, differences
from search_spaces.reading.load import with_trials
from tune_jobs.errors import LedgerError, UsageError
from tune_jobs.record.folder import SweepFolder, missing_spec, recorded_spec
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.plugins import code_changed, used_by, versions_changed
from tune_jobs.record.rows import ENDED, State
from tune_jobs.record.schema import remove_ledger
from tune_jobs.system.files import is_full, write_whole
from tune_jobs.system.redaction import holds_secret

PROBE_BYTES = 100_000
"""Disk space that a sweep folder needs for its first files."""


def prepare_folder(folder: SweepFolder) -> None:
    """Create the sweep folder, or check that it can be written.

    Raises:
        LedgerError: If it cannot.
    """
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder.path) as probe:
            probe.write(bytes(PROBE_BYTES))
            probe.flush()
    except OSError as error:
        way_out = "free space there" if is_full(error) else "choose another storage folder with --storage"
        raise LedgerError(f"the sweep folder {folder.path} cannot be written: {error.strerror}; {way_out}.") from error


def as_far_as_started(folder: SweepFolder, spec: SweepSpec, *, exact: bool = False) -> tuple[SweepSpec, str | None]:
    """Return the sweep with at least the number of configurations that have started, and a note if its file has fewer.

    Raises:
        UsageError: With `exact`, if the file asks for fewer.
    """
    asked = getattr(spec.search, "trials", None)
    there, states = started(folder)
    if asked is None or asked >= there:
        return spec, None
    name, many = spec.name, "trials" if len(states) == there else "configurations"
    if exact:
        raise UsageError(
            f"search.trials must be at least {there}, as {there} {many} of {name} have run, got {asked}; leave it out, "
            f"or add trials: convnn extend {name} --trials +20"
        )
    new = "nothing" if all(state in ENDED for state in states) else "no new trial"
    if spec.search.repeats > 1:
        new = "no new configuration"
    note = (
        f"{there} {many} have run and search.trials is {asked}, so {new} is started (for more: convnn extend "
        f"{name} --trials +20)"
    )
    return with_trials(spec, there), note


def started(folder: SweepFolder) -> tuple[int, list[State]]:
    """Return how many configurations have started, and the states of their trials; zero and none without a ledger."""
    if not folder.ledger.exists():
        return 0, []
    with closing(Ledger(folder.ledger)) as ledger:
        trials = ledger.trials()
    return sum(trial.repeat_of is None for trial in trials), [trial.state for trial in trials]


def open_ledger(folder: SweepFolder, spec: SweepSpec, *, accept_code: bool = False) -> Ledger:
    """Open the sweep's ledger, or create it. Refuse a sweep whose settings or plugins differ from the recorded ones.

    An earlier run that started no trial has no results that could mix, so its name can be used again.

    Raises:
        UsageError: If its settings differ, or the code of a plugin has changed and `accept_code` is not set.
    """
    if folder.spec.exists() and folder.ledger.exists():
        before = recorded_spec(folder)
        differing = differences(before, spec)
        if differing and not started(folder)[0]:
            remove_ledger(folder.ledger)
        elif differing:
            raise UsageError(
                f"{folder.path} already holds a sweep {spec.name!r} with other settings; results would mix:\n"
                + "".join(f"  {line}\n" for line in differing)
                + "You may change: budget, search.trials, search.repeats, stopping.max_failed_fraction, "
                f"stopping.enough, tracking and resources (but not CPU to GPU, nor a trial's share of gpu_mem_gb). Use "
                f"another name (convnn run FILE --set name={spec.name}-2), or start over (convnn run FILE --fresh)."
            )
    ledger = Ledger(folder.ledger, create=True)
    if not folder.spec.exists() and ledger.trials():
        ledger.close()
        raise UsageError(missing_spec(folder))
    try:
        _record_plugins(spec, ledger, accept_code=accept_code)
    except UsageError:
        ledger.close()
        raise
    meta = ledger.meta
    if meta.started is None:
        meta.started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    meta.metric = spec.metric
    meta.goal = spec.goal
    meta.repeats = spec.search.repeats
    meta.budget = spec.budget.model_dump(exclude_none=True)
    planned = spec.planned()
    if planned is not None:
        meta.planned = planned
    write_whole(folder.spec, spec.text, private=holds_secret(spec.text))
    return ledger


def _record_plugins(spec: SweepSpec, ledger: Ledger, *, accept_code: bool) -> None:
    """Record the plugins of the sweep. Refuse them if its trials were trained with other code."""
    now, before = used_by(spec), ledger.meta.plugins
    if now == (before or {}):
        return
    if ledger.asks() or ledger.trials():
        if changed := versions_changed(before or {}, now):
            raise UsageError(
                f"a plugin of the sweep {spec.name} changed the meaning of its settings since its trials ran; results "
                f"would mix:\n"
                + "".join(f"  {line}\n" for line in changed)
                + f"Install the version that the trials ran with, or use another name (convnn run FILE --set "
                f"name={spec.name}-2)."
            )
        changed = code_changed(before or {}, now)
        if changed and not accept_code:
            raise UsageError(
                f"the code of a plugin has changed since the trials of {spec.name} ran; results would mix:\n"
                + "".join(f"  {line}\n" for line in changed)
                + f"Install the code that the trials ran with, or use another name (convnn run FILE --set "
                f"name={spec.name}-2), or continue with the current code: --accept-code. Each attempt records the "
                f"digest of the code that it ran."
            )
    ledger.meta.plugins = now
