"""SweepSpec: a space, and the settings for evaluation, search, stopping, resources and tracking."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from search_spaces.base import Config, Infeasible
from search_spaces.constraints import Constraint
from search_spaces.domains import Choice, IntRange, Scalar, as_written
from search_spaces.nodes import Branches, Group, Leaf, SpaceNode
from search_spaces.reading.document import written
from search_spaces.settings import (
    Budget,
    Grid,
    Holdout,
    Metric,
    Paper,
    Resources,
    SamplerSettings,
    Stopping,
    Tracking,
)
from search_spaces.space import Space
from search_spaces.trial import TrialConfig


@dataclass(frozen=True)
class SweepSpec:
    """A valid sweep file. `text` is the YAML as run, including overrides."""

    name: str
    space: Space
    evaluation: Holdout | Paper
    metric: Metric
    goal: Literal["maximize", "minimize"]
    search: SamplerSettings
    stopping: Stopping
    resources: Resources
    budget: Budget
    tracking: Tracking
    text: str

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """The rules that every trial must satisfy."""
        return self.space.constraints

    def infeasibilities(self, trial: TrialConfig) -> Iterator[Infeasible]:
        """Yield every reason why this sweep cannot run `trial`: the geometry, then the constraints that it breaks.

        Pass the trial as resolved. Its canonical form may differ in fields without effect.
        """
        return self.space.infeasibilities(trial)

    @property
    def experiment(self) -> str:
        """The MLflow experiment that contains its runs."""
        return self.tracking.experiment or self.name

    def planned(self) -> int | None:
        """Return the number of configurations that the search will try; `None` if it is not known in advance."""
        limits = [getattr(self.search, "trials", None), self.space.distinct()]
        return min((limit for limit in limits if limit is not None), default=None)

    def identity(self) -> dict[str, Any]:
        """Return the settings that must not change within one sweep: flat, by path, without the defaults of the space.

        It does not depend on how a file is written: key order (except for the fields that a grid varies), spelling of
        numbers and explicit defaults do not matter. Budget, resources, tracking, image folders, `search.trials`,
        `search.repeats`, `stopping.max_failed_fraction` and `stopping.enough` may change.
        """
        flat = dict(_said(self.space.root, "space"))
        if self.constraints:
            flat["constraints"] = sorted({rule.normal() for rule in self.constraints})
        domains = [leaf.path for leaf in self.space.domains()]
        if isinstance(self.search, Grid) and len(domains) > 1:
            flat["order of space"] = domains  # a grid resumes by the number of the point
        flat |= _settings("evaluation", self.evaluation)
        flat |= {"objective.metric": self.metric, "objective.goal": self.goal}
        flat |= _settings("search", self.search) | _settings("stopping", self.stopping)
        flat |= {"resources.gpus_per_trial above 0": self.resources.gpus_per_trial > 0}  # other numbers
        flat |= {"a trial's share of resources.gpu_mem_gb": self.resources.trial_mem_gb}  # other trials can run
        return {path: value for path, value in flat.items() if path not in _MAY_CHANGE}

    def describe(self) -> dict[str, Any]:
        """Return a summary for people and programs."""
        return {
            "name": self.name,
            "sampler": self.search.sampler,
            "trials": getattr(self.search, "trials", self.space.size()),
            "repeats": self.search.repeats,
            "stopping": self.stopping.kind,
            "protocol": self.evaluation.protocol,
            "objective": {"metric": self.metric, "goal": self.goal},
            "domains": {leaf.path: describe_domain(leaf) for leaf in self.space.domains()},
            "constraints": [rule.text for rule in self.constraints],
            "points": self.space.size(),
        }


_MAY_CHANGE = ("search.trials", "search.repeats", "stopping.max_failed_fraction", "stopping.enough")


def differences(before: SweepSpec, now: SweepSpec) -> list[str]:
    """Return the differences that keep two sweeps' results apart, a line for each path: `search.seed: 0 -> 1`.

    A field of the space with its default value shows as `(not set)`.
    """
    old, new = before.identity(), now.identity()
    left, right = ({path: written(value) for path, value in tree.items()} for tree in (old, new))
    return [
        f"{path}: {left.get(path, _NOT_SET)} -> {right.get(path, _NOT_SET)}"
        for path in [*new, *(path for path in old if path not in new)]
        if path not in old or path not in new or old[path] != new[path]
    ]


_NOT_SET = "(not set)"


def _said(node: SpaceNode, path: str) -> Iterator[tuple[str, Any]]:
    """Yield the content of a space by path, except for defaults and image folders."""
    if isinstance(node, Group):
        for name, child in node.fields.items():
            yield from _said(child, f"{path}.{name}")
    elif isinstance(node, Branches):
        yield path, {"any_of": list(node.options)}
        for label, option in node.options.items():
            yield from _said(option, f"{path}[{label}]")
    elif isinstance(node, Leaf):
        yield path, as_written(node.domain)
    elif not node.is_default and not path.endswith(".root"):  # no other field has that name
        yield path, node.value


def _settings(name: str, settings: Config) -> dict[str, Any]:
    return {f"{name}.{field}": value for field, value in settings.model_dump().items()}


def describe_domain(leaf: Leaf) -> str:
    """Describe a domain in a few words."""
    domain = leaf.domain
    if isinstance(domain, Choice):
        shown = ", ".join(_short(value) for value in domain.values[:_SHOWN])
        return f"one of {shown}" + (f", ... ({len(domain.values):,} values)" if len(domain.values) > _SHOWN else "")
    low, high = (domain.low, domain.high) if isinstance(domain, IntRange) else (f"{domain.low:g}", f"{domain.high:g}")
    step = f", in steps of {domain.step}" if isinstance(domain, IntRange) and domain.step > 1 else ""
    return f"{low} to {high}{step}" + (", logarithmic" if domain.log else "")


_SHOWN, _LONGEST = 40, 200


def _short(value: Scalar) -> str:
    text = str(value) if type(value) is int else written(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
