"""Opens a sweep at the start of a run: checks that its folder is writable and that its ledger is of the same sweep."""

import tempfile
import time
from contextlib import closing

from search_spaces import SweepSpec, differences
from search_spaces.reading.load import with_trials
from tune_jobs.errors import LedgerError, UsageError
from tune_jobs.record.folder import SweepFolder, missing_spec, recorded_spec
from tune_jobs.record.ledger import Ledger
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


def as_far_as_begun(folder: SweepFolder, spec: SweepSpec, *, exact: bool = False) -> tuple[SweepSpec, str | None]:
    """Return the sweep with at least the number of configurations that have started, and a note if its file has fewer.

    Raises:
        UsageError: With `exact`, if the file asks for fewer.
    """
    asked = getattr(spec.search, "trials", None)
    there, states = begun(folder)
    if asked is None or asked >= there:
        return spec, None
    name, many = spec.name, "trials" if len(states) == there else "configurations"
    if exact:
        raise UsageError(
            f"search.trials must be at least {there}, as {there} {many} of {name} have run, got {asked}; leave it out, "
            f"or add trials: convnn extend {name} --trials +20"
        )
    started = "nothing" if all(state in ENDED for state in states) else "no new trial"
    if spec.search.repeats > 1:
        started = "no new configuration"
    note = (
        f"{there} {many} have run and search.trials is {asked}, so {started} is started (for more: convnn extend "
        f"{name} --trials +20)"
    )
    return with_trials(spec, there), note


def begun(folder: SweepFolder) -> tuple[int, list[State]]:
    """Return how many configurations have started, and the states of their trials; zero and none without a ledger."""
    if not folder.ledger.exists():
        return 0, []
    with closing(Ledger(folder.ledger)) as ledger:
        trials = ledger.trials()
    return sum(trial.repeat_of is None for trial in trials), [trial.state for trial in trials]


def open_ledger(folder: SweepFolder, spec: SweepSpec) -> Ledger:
    """Open the sweep's ledger, or create it. Refuse a sweep whose settings differ from the recorded ones.

    An earlier run that started no trial has no results that could mix, so its name can be used again.
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
                + "You may change: budget, search.trials, search.repeats, stopping.max_failed_fraction, "
                f"stopping.enough, tracking and resources (but not CPU to GPU, nor a trial's share of gpu_mem_gb). Use "
                f"another name (convnn run FILE --set name={spec.name}-2), or start over (convnn run FILE --fresh)."
            )
    ledger = Ledger(folder.ledger, create=True)
    if not folder.spec.exists() and ledger.trials():
        ledger.close()
        raise UsageError(missing_spec(folder))
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


def _has_begun(folder: SweepFolder) -> bool:
    with closing(Ledger(folder.ledger)) as ledger:
        return bool(ledger.asks() or ledger.trials())
