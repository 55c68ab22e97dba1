"""A search whose runs depend on the results of earlier ones instead of a sampler: a confirmation, look by look."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from search_spaces import SweepSpec, TrialConfig
from tune_jobs.record.rows import ENDED, Role
from tune_jobs.search.base import Asked, Past, Proposal
from tune_jobs.search.queue import Search

Due = Callable[[Mapping[str, float], Collection[str]], Sequence[tuple[str, TrialConfig]]]
"""Returns the runs to do, from the final objective of complete runs and the run keys of lost ones."""


class Rounds(Search):
    """Starts pending runs. Retries, manual stops and the recovery after a dead driver work as in any search.

    No stopping rule applies.
    """

    def __init__(self, spec: SweepSpec, past: Past, due: Due, *, role: Role) -> None:
        """Rebuild the search from the past.

        Args:
            spec: The sweep, with the evaluation and metric of these runs.
            past: The past of this role alone.
            due: Returns the runs to do.
            role: The role of the runs.
        """
        self._due_of, self._role = due, role
        self._round: tuple[int, Sequence[tuple[str, TrialConfig]]] = (-1, ())
        super().__init__(spec, replace(past, asks=(), exhausted=False))

    @property
    def planned(self) -> int | None:
        """`None`, as the number of runs is not known before the last look."""
        return None

    @property
    def _all_asked(self) -> bool:
        return all(key in self._numbers for key, _ in self._now_due())

    def propose(self, *, alone_too: bool = True) -> Proposal:
        """Return what to start next; a new run is recorded with its role."""
        known = set(self._numbers)
        proposal = super().propose(alone_too=alone_too)
        if proposal.start is None:
            return proposal
        return replace(
            proposal, start=replace(proposal.start, unasked=proposal.start.run_key not in known, role=self._role)
        )

    def _new(self, asked: list[Asked]) -> str | None:
        del asked  # there are no asks
        if self.held_back:
            return None
        for key, config in self._now_due():
            if key not in self._numbers:
                self._begin(key, config)
                return key
        return None

    def _now_due(self) -> Sequence[tuple[str, TrialConfig]]:
        ended = [key for key, state in self.study.states.items() if state in ENDED]
        if len(ended) != self._round[0]:
            whole = {key: self.study.last(key) for key in ended if self.study.states[key] == "complete"}
            finals = {key: value for key, value in whole.items() if math.isfinite(value)}
            self._round = len(ended), self._due_of(finals, [key for key in ended if key not in finals])
        return self._round[1]
