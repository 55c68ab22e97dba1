"""The search space of a sweep: which settings may vary, and which configurations are valid."""

from search_spaces.base import Infeasible
from search_spaces.canonical import canonical, config_key, run_key
from search_spaces.constraints import Constraint
from search_spaces.domains import Choice, Chooser, Domain, FloatRange, IntRange
from search_spaces.feasibility import infeasibilities
from search_spaces.nodes import Decided
from search_spaces.reading.document import Place, Problem, SpecError
from search_spaces.reading.load import load_sweep, parse_sweep
from search_spaces.schema import json_schema
from search_spaces.space import Space
from search_spaces.sweep import SweepSpec, differences
from search_spaces.trial import TrialConfig

__all__ = [
    "Choice",
    "Chooser",
    "Constraint",
    "Decided",
    "Domain",
    "FloatRange",
    "Infeasible",
    "IntRange",
    "Place",
    "Problem",
    "Space",
    "SpecError",
    "SweepSpec",
    "TrialConfig",
    "canonical",
    "config_key",
    "differences",
    "infeasibilities",
    "json_schema",
    "load_sweep",
    "parse_sweep",
    "run_key",
]
