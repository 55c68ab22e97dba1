"""The in-memory record behaves like the ledger."""

from dataclasses import replace

from tests.tune_jobs.record.conftest import CONFIG, ENVIRONMENT, KEY
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.memory import MemoryRecord
from tune_jobs.record.port import Record


def written(record: Record) -> None:
    """Write everything that a driver may write."""
    record.add_ask({"k": 3}, "infeasible", None)
    for attempt in (1, 2):
        assert record.start_attempt(KEY, gpus=0.5, cpus=2) == attempt
        record.set_host(KEY, attempt, "here")
        record.set_origin(KEY, attempt, 0, "a note", "cpu", here=ENVIRONMENT)
        record.add_epoch(KEY, attempt, 1, {"val/loss": 0.5})
        record.add_epoch(KEY, attempt, 1, {"val/loss": 0.7})
        record.charge({(KEY, attempt): 1800.0}, 900.0)
        assert record.seconds_before(KEY, attempt) == 1800 * (attempt - 1)
        state, failure = ("interrupted", None) if attempt == 1 else ("diverged", "diverged")
        record.end_attempt(KEY, attempt, state, "why", failure)  # type: ignore[arg-type]
    record.add_ask({"k": 4}, "duplicate", KEY)
    record.add_unasked(CONFIG, f"{KEY}-s1", repeat_of=KEY)
    record.meta.exhausted = True


def test_the_same_writes_give_the_same_reads(ledger: Ledger) -> None:
    ledger.now = lambda: 0.0
    memory = MemoryRecord()
    memory.add_trial({"space.model.layer.k": 4}, CONFIG, KEY)
    written(memory)
    written(ledger)

    def without_seq(record: Ledger | MemoryRecord) -> list[object]:
        trials = [replace(trial, ended_seq=None) for trial in record.trials()]
        asks = [replace(ask, seq=0) for ask in record.asks()]
        return [
            *asks,
            *(replace(epoch, seq=0) for epoch in record.epochs()),
            *trials,
            *record.attempts(),
            record.usage(),
        ]

    assert without_seq(memory) == without_seq(ledger)
    assert memory.meta.exhausted is ledger.meta.exhausted is True
    assert memory.asks()[-1].seq > memory.epochs()[-1].seq > memory.asks()[0].seq
    assert memory.trials()[0].ended_seq is not None
