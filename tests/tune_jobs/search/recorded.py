"""A search with its ledger, kept in step as the driver does; nothing is trained."""

from collections.abc import Collection

from search_spaces import SweepSpec
from tune_jobs.driver.past import past_of, record_proposal, settle
from tune_jobs.events import Ended, EpochEnded, Failed, Job, StopAsked
from tune_jobs.failures import Failure, Next, state_after
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import State
from tune_jobs.search.base import Follow, Stop, StoppedBy
from tune_jobs.search.queue import Search


class Recorded(Search):
    """A search whose every call writes to the ledger what the driver would."""

    def __init__(self, spec: SweepSpec, ledger: Ledger, only: Collection[str] | None = None) -> None:
        super().__init__(spec, past_of(ledger), only)
        self._ledger = ledger
        settle(ledger, self.settled)

    def next(self) -> Job | None:
        proposal = self.propose()
        record_proposal(self._ledger, self, proposal)
        if proposal.start is None:
            return None
        start = proposal.start
        attempt = self._ledger.start_attempt(start.run_key)
        return Job(start.run_key, attempt, start.number, start.config, start.alone, start.repeat_of)

    def report(self, job: Job, epoch: int, metrics: dict[str, float]) -> bool:
        return self.stopped_by(job, epoch, metrics) is not None

    def stopped_by(self, job: Job, epoch: int, metrics: dict[str, float]) -> StoppedBy | None:
        self._ledger.add_epoch(*job.place, epoch, metrics)
        operations = self.tell(EpochEnded(job, epoch, metrics))
        return next((each.by for each in operations if isinstance(each, Stop)), None)

    def ask_to_stop(self, job: Job) -> None:
        self._ledger.add_request(job.run_key, "stop")
        self.tell(StopAsked(job))

    def end(self, job: Job, state: State, reason: str | None = None) -> None:
        self._ledger.end_attempt(*job.place, state, reason)
        self.tell(Ended(job, state, reason))

    def fail(self, job: Job, failure: Failure, reason: str) -> Next:
        (follow,) = self.tell(Failed(job, failure, reason))
        assert isinstance(follow, Follow)
        self._ledger.end_attempt(*job.place, state_after(failure, follow.follows), reason, failure)
        return follow.follows
