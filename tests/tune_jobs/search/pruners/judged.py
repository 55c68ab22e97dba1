"""A study with scripted trials, and the decisions of a stopping rule about them."""

from collections.abc import Sequence
from typing import Literal

import optuna

from search_spaces import parse_sweep
from search_spaces.settings import Stopping
from tune_jobs.search.registry import rule_of

SPACE = parse_sweep("name: x\nspace: {model: {layer: {kind: conv2d}}, training: {epochs: 27}}").space


class Judged:
    """Trials that one rule judges, one after another."""

    def __init__(self, rule: Stopping, direction: Literal["maximize", "minimize"] = "maximize") -> None:
        self.study = optuna.create_study(study_name="seed 0", direction=direction)
        self._rule = rule_of(rule, SPACE)

    def complete(self, *values: float) -> None:
        self._reported(values)
        self.study.tell(self.study.get_trials(deepcopy=False)[-1].number, values[-1])

    def stops(self, *values: float) -> bool:
        """Whether the rule stops a new trial with these values after the last of them."""
        self._reported(values)
        return self._rule.stops(self.study, self.study.get_trials(deepcopy=False)[-1])

    def stopped_at(self, values: Sequence[float]) -> int | None:
        """Return the epoch after which the rule stops a new trial with these values."""
        trial = self.study.ask()
        for epoch, value in enumerate(values, 1):
            trial.report(value, epoch)
            if self._rule.stops(self.study, self.study.get_trials(deepcopy=False)[-1]):
                return epoch
        return None

    def _reported(self, values: Sequence[float]) -> None:
        trial = self.study.ask()
        for epoch, value in enumerate(values, 1):
            trial.report(value, epoch)
