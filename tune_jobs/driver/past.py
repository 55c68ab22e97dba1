"""Between a sweep's record and its search: what the search is rebuilt from, and what it asked."""

from collections.abc import Sequence

from tune_jobs.record.ledger import Ledger
from tune_jobs.search.base import Asked, Past, SearchMethod, Settled

BY_THE_RULE = "by the stopping rule"
"""The reason that the ledger gives for a stopped trial."""


def past_of(ledger: Ledger) -> Past:
    """All that the record holds for the search."""
    return Past(
        asks=ledger.asks(),
        trials=ledger.trials(),
        attempts=ledger.attempts(),
        epochs=ledger.epochs(),
        out_of_memory=[key for key, failure in ledger.failures().items() if failure == "oom"],
        exhausted=ledger.meta.exhausted,
    )


def record_asked(ledger: Ledger, search: SearchMethod, asked: Sequence[Asked]) -> None:
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
        if end.by_the_rule:
            ledger.end_attempt(end.run_key, end.attempt, "stopped", BY_THE_RULE)
        else:
            ledger.end_attempt(end.run_key, end.attempt, "complete")
