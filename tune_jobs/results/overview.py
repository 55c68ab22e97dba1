"""A short overview of each sweep for `convnn list`, and the results of a configuration over its seeds."""

import contextlib
from typing import Any

from tune_jobs.errors import LedgerError
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.lease import live_driver
from tune_jobs.record.ledger import Ledger
from tune_jobs.results.seeds import Repeats
from tune_jobs.results.summary import Summary, state_of, summary


def best_repeats(found: Summary) -> Repeats | None:
    """Return the best trial's configuration over its seeds, if it has several; the trial alone may just be lucky."""
    return next((group for group in found.seeds if found.best in group.rows), None)


def seeds_json(group: Repeats) -> dict[str, Any]:
    """Return it for programs, with stable keys."""
    return {
        "mean": group.mean,
        "sd": group.spread,
        "seeds": len(group.rows),
        "trials": sorted(row.number for row in group.rows),
    }


def overview(folder: SweepFolder) -> dict[str, Any]:
    """Return an overview of one sweep for `convnn list`; `error` is the reason if its ledger cannot be read."""
    try:
        with contextlib.closing(Ledger(folder.ledger)) as ledger:
            found = summary(folder.name, ledger)
            started = ledger.meta.started
    except LedgerError as error:
        return {"name": folder.name, "error": str(error)}
    return {
        "name": folder.name,
        "error": None,
        "state": state_of(found, running=live_driver(folder.path) is not None),
        "trials": len(found.rows),
        "ended": found.ended,
        "planned": found.planned,
        "repeats": found.repeats,
        "configurations_ended": found.configurations_ended,
        "metric": found.metric,
        "best": found.best_value,
        "best_at_epoch": found.compared_at,
        "seeds": seeds_json(group) if (group := best_repeats(found)) else None,
        "started": started,
    }
