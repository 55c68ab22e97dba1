"""Runs that follow from how earlier ones ended, and not from a sampler: a confirmation, look by look."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from search_spaces import SweepSpec, TrialConfig
from tune_jobs.record.rows import ENDED, Role
from tune_jobs.search.base import Asked, Past, Proposal
from tune_jobs.search.queue import Search

Due = Callable[[Mapping[str, float], Collection[str]], Sequence[tuple[str, TrialConfig]]]
"""What is to be run, from the objective at the end of complete runs and the keys of those that are lost."""


class Rounds(Search):
    """Starts what is due; retries, stops by hand and what a dead driver left are as in any search.

    No rule stops a run.
    """

    def __init__(self, spec: SweepSpec, past: Past, due: Due, *, role: Role) -> None:
        """Rebuild it from the past.

        Args:
            spec: How runs are judged.
            past: Of this role alone.
            due: What is to be run.
            role: That of the runs.
        """
        self._due_of, self._role = due, role
        self._round: tuple[int, Sequence[tuple[str, TrialConfig]]] = (-1, ())
        super().__init__(spec, replace(past, asks=(), exhausted=False))

    @property
    def planned(self) -> int | None:
        """Not known before the last look."""
        return None

    @property
    def _all_asked(self) -> bool:
        return all(key in self._trials for key, _ in self._now_due())

    def propose(self, *, alone_too: bool = True) -> Proposal:
        """What to start next; a new run is recorded with its role."""
        known = set(self._trials)
        proposal = super().propose(alone_too=alone_too)
        if proposal.start is None:
            return proposal
        return replace(
            proposal, start=replace(proposal.start, unasked=proposal.start.run_key not in known, role=self._role)
        )

    def _new(self, asked: list[Asked]) -> str | None:
        del asked  # nothing is asked
        if self.held_back:
            return None
        for key, config in self._now_due():
            if key not in self._trials:
                self._trials[key] = (self._next_number, config)
                self._repeats.begin(key, *self._trials[key])
                return key
        return None

    def _now_due(self) -> Sequence[tuple[str, TrialConfig]]:
        ended = [key for key, state in self.study.states.items() if state in ENDED]
        if len(ended) != self._round[0]:
            whole = {key: self.study.last(key) for key in ended if self.study.states[key] == "complete"}
            finals = {key: value for key, value in whole.items() if math.isfinite(value)}
            self._round = len(ended), self._due_of(finals, [key for key in ended if key not in finals])
        return self._round[1]
