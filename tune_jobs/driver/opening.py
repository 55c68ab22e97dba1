"""The start of a run: a folder that can be written, the ledger of this very sweep, the images that it began with."""

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
"""Room that a sweep's folder must have for its first files."""


def prepare_folder(folder: SweepFolder) -> None:
    """Make the folder of a sweep, or find that it can be written.

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


def as_far_as_begun(folder: SweepFolder, spec: SweepSpec, *, exact: bool = False) -> tuple[SweepSpec, str | None]:
    """The sweep with at least as many configurations as have begun, and what is said where the file asks for fewer.

    Raises:
        UsageError: With `exact`, if it asks for fewer.
    """
    asked = getattr(spec.search, "trials", None)
    there, states = begun(folder)
    if asked is None or asked >= there:
        return spec, None
    name, many = spec.name, "trials" if len(states) == there else "configurations"
    if exact:
        raise UsageError(
            f"search.trials must be at least the {there} {many} of {name} that have run, got {asked}; leave it out, or "
            f"add trials: convnn extend {name} --trials +20"
        )
    started = "nothing" if all(state in ENDED for state in states) else "no new trial"
    if spec.search.repeats > 1:
        started = "no new configuration"
    note = (
        f"{there} {many} have run and search.trials is {asked}; {started} is started (for more: convnn extend {name} "
        f"--trials +20)"
    )
    return with_trials(spec, there), note


def begun(folder: SweepFolder) -> tuple[int, list[State]]:
    """How many configurations have begun, and the states of their trials; none where there is no record yet."""
    if not folder.ledger.exists():
        return 0, []
    with closing(Ledger(folder.ledger)) as ledger:
        trials = ledger.trials()
    return sum(trial.repeat_of is None for trial in trials), [trial.state for trial in trials]


def open_ledger(folder: SweepFolder, spec: SweepSpec, *, accept_code: bool = False) -> Ledger:
    """The sweep's ledger, made if it is new; refused if the file now says something else, or a plugin does.

    A run that came to no trial has left nothing that could mix, so that its name is free.

    Raises:
        UsageError: If it is another sweep, or, without `accept_code`, the code of a plugin has changed.
    """
    if folder.spec.exists() and folder.ledger.exists():
        before = recorded_spec(folder)
        differing = differences(before, spec)
        if differing and not _has_begun(folder):
            remove_ledger(folder.ledger)
        elif differing:
            raise UsageError(
                f"{folder.path} already holds a sweep {spec.name!r} with other settings; results would mix:\n"
                + "".join(f"  {line}\n" for line in differing)
                + "What may change: budget, search.trials, search.repeats, stopping.max_failed_fraction, "
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
    """Record the plugins that the sweep is run with, unless its trials were trained with others."""
    now, before = used_by(spec), ledger.meta.plugins
    if now == (before or {}):
        return
    if ledger.asks() or ledger.trials():
        if changed := versions_changed(before or {}, now):
            raise UsageError(
                f"a plugin of the sweep {spec.name} says that its settings mean something else than in the trials that "
                f"have run; results would mix:\n"
                + "".join(f"  {line}\n" for line in changed)
                + f"Install the version that they were run with, or use another name (convnn run FILE --set "
                f"name={spec.name}-2)."
            )
        changed = code_changed(before or {}, now)
        if changed and not accept_code:
            raise UsageError(
                f"the code of a plugin is not what the trials of {spec.name} were run with; results would mix:\n"
                + "".join(f"  {line}\n" for line in changed)
                + f"Install the code that they were run with, or use another name (convnn run FILE --set "
                f"name={spec.name}-2), or go on with the code as it is now: --accept-code. Each attempt records the "
                f"digest of the code that it ran."
            )
    ledger.meta.plugins = now


def _has_begun(folder: SweepFolder) -> bool:
    with closing(Ledger(folder.ledger)) as ledger:
        return bool(ledger.asks() or ledger.trials())
