"""Connects a sweep's ledger and its search: reads the search's past, and records its proposals."""

from collections.abc import Sequence

from tune_jobs.record.ledger import Ledger
from tune_jobs.record.port import Record
from tune_jobs.record.requests import excluded, to_stop
from tune_jobs.record.rows import BY_HAND, BY_THE_RULE, SEARCH, Role
from tune_jobs.search.base import Past, Proposal, SearchMethod, Settled, StoppedBy

STOPPED: dict[StoppedBy, str] = {"rule": BY_THE_RULE, "hand": BY_HAND}


def past_of(ledger: Ledger, role: Role = SEARCH) -> Past:
    """Return everything in the ledger about the search, or about the trials of another role."""
    requests, everything = ledger.requests(), ledger.trials(role=None)
    trials = [trial for trial in everything if trial.role == role]
    keys = {trial.run_key for trial in trials}
    return Past(
        asks=ledger.asks() if role == SEARCH else (),
        trials=trials,
        attempts=[attempt for attempt in ledger.attempts() if attempt.run_key in keys],
        epochs=[epoch for epoch in ledger.epochs() if epoch.run_key in keys],
        out_of_memory=[key for key, failure in ledger.failures().items() if failure == "oom"],
        to_stop=to_stop(requests),
        excluded=frozenset(excluded(requests)),
        exhausted=ledger.meta.exhausted,
        elsewhere=len(everything) - len(trials),
    )


def record_proposal(ledger: Record, search: SearchMethod, proposal: Proposal) -> None:
    """Record a proposal: the sampler's decisions, the new trial, and whether the space is exhausted."""
    for ask in proposal.asked:
        if ask.config is not None and ask.run_key is not None:
            ledger.add_trial(ask.decisions, ask.config, ask.run_key)
        else:
            ledger.add_ask(ask.decisions, ask.outcome, ask.run_key)
    start = proposal.start
    if start is not None and start.unasked:
        ledger.add_unasked(start.config, start.run_key, repeat_of=start.repeat_of, role=start.role)
    if search.exhausted and not ledger.meta.exhausted:
        ledger.meta.exhausted = True


def settle(ledger: Ledger, settled: Sequence[Settled]) -> None:
    """Record trials as ended that ended just before an earlier driver died."""
    for end in settled:
        if end.stopped_by is not None:
            ledger.end_attempt(end.run_key, end.attempt, "stopped", STOPPED[end.stopped_by])
        else:
            ledger.end_attempt(end.run_key, end.attempt, "complete")
