"""Between a sweep's record and its search: what the search is rebuilt from, and what it asked."""

from collections.abc import Sequence

from tune_jobs.record.ledger import Ledger
from tune_jobs.record.port import Record
from tune_jobs.record.requests import excluded, to_stop
from tune_jobs.record.rows import BY_HAND, BY_THE_RULE
from tune_jobs.search.base import Asked, Past, SearchMethod, Settled, StoppedBy

STOPPED: dict[StoppedBy, str] = {"rule": BY_THE_RULE, "hand": BY_HAND}


def past_of(ledger: Ledger) -> Past:
    """All that the record holds for the search."""
    requests = ledger.requests()
    return Past(
        asks=ledger.asks(),
        trials=ledger.trials(),
        attempts=ledger.attempts(),
        epochs=ledger.epochs(),
        out_of_memory=[key for key, failure in ledger.failures().items() if failure == "oom"],
        to_stop=to_stop(requests),
        excluded=frozenset(excluded(requests)),
        exhausted=ledger.meta.exhausted,
    )


def record_asked(ledger: Record, search: SearchMethod, asked: Sequence[Asked]) -> None:
    """Record what was asked on the way to a proposal, and whether the space is used up."""
    for ask in asked:
        if ask.config is not None and ask.run_key is not None:
            ledger.add_trial(ask.decisions, ask.config, ask.run_key)
        else:
            ledger.add_ask(ask.decisions, ask.outcome, ask.run_key)
    if search.exhausted and not ledger.meta.exhausted:
        ledger.meta.exhausted = True


def settle(ledger: Ledger, settled: Sequence[Settled]) -> None:
    """Record the ends that a dead driver had no time for."""
    for end in settled:
        if end.stopped_by is not None:
            ledger.end_attempt(end.run_key, end.attempt, "stopped", STOPPED[end.stopped_by])
        else:
            ledger.end_attempt(end.run_key, end.attempt, "complete")
