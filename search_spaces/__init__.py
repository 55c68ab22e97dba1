"""What may vary in a sweep, and what a valid configuration is."""

from search_spaces.canonical import canonical, config_key, run_key
from search_spaces.constraints import Constraint
from search_spaces.domains import Choice, Chooser, Domain, FloatRange, IntRange
from search_spaces.feasibility import Obstacle, obstacles
from search_spaces.reading.document import Place, Problem, SpecError
from search_spaces.schema import json_schema
from search_spaces.space import Decided, Space
from search_spaces.sweep import SweepSpec, differences, load_sweep, parse_sweep
from search_spaces.trial import TrialConfig

__all__ = [
    "Choice",
    "Chooser",
    "Constraint",
    "Decided",
    "Domain",
    "FloatRange",
    "IntRange",
    "Obstacle",
    "Place",
    "Problem",
    "Space",
    "SpecError",
    "SweepSpec",
    "TrialConfig",
    "canonical",
    "config_key",
    "differences",
    "json_schema",
    "load_sweep",
    "obstacles",
    "parse_sweep",
    "run_key",
]
