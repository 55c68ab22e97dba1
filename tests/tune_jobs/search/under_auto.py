"""A sweep with the rule `auto`, with its folder and ledger; a formula simulates the trials."""

from contextlib import closing
from pathlib import Path

from search_spaces import SweepSpec, parse_sweep
from tests.tune_jobs.search.recorded import Recorded
from tests.tune_jobs.search.simulated import THIRTY, spec, train
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger

TRIALS = 50
"""After the first eight, the 24th and the 48th trial are controls."""


def auto_spec(**changes: str) -> SweepSpec:
    asked = {"stopping": "{kind: auto}"} | changes
    sweep = spec(THIRTY, f"{{sampler: random, trials: {TRIALS}}}")
    return parse_sweep(sweep.text, overrides=[f"{path.replace('__', '.')}={value}" for path, value in asked.items()])


def auto_sweep(place: Path, *, trials: int = TRIALS, interrupt: bool = False) -> SweepFolder:
    """Run its trials one at a time; with `interrupt`, cut each off once and rebuild the search each time."""
    sweep, folder = auto_spec(search__trials=str(trials)), SweepFolder(place / "test")
    folder.path.mkdir(parents=True)
    folder.spec.write_text(sweep.text)
    with closing(Ledger(folder.ledger, create=True)) as ledger:
        ledger._db.execute("PRAGMA synchronous=OFF")
        ledger.meta.planned = trials
        search = Recorded(sweep, ledger)
        while (job := search.next()) is not None:
            cut_off = interrupt and job.attempt == 1
            train(search, job, epochs=2 if cut_off else 9)
            if cut_off:
                search = Recorded(sweep, ledger)
    return folder
