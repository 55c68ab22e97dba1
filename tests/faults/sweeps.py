"""Sweeps for injecting faults: small enough to repeat often, long enough for a fault in the middle."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_MAY_CHANGE = ("budget", "name", "resources", "tracking")


@dataclass(frozen=True)
class Sweep:
    """A sweep's file, as data."""

    content: dict[str, Any]

    @property
    def name(self) -> str:
        """The sweep's name."""
        return str(self.content["name"])

    def but(self, **changes: Any) -> "Sweep":
        """Return the sweep with other values: `space__training__epochs=3`; fields are added to existing mappings."""
        content = copy.deepcopy(self.content)
        for path, value in changes.items():
            *parents, last = path.split("__")
            place = content
            for parent in parents:
                place = place.setdefault(parent, {})
            place[last] = _merged(place.get(last), value)
        return Sweep(content)

    def left_alone(self) -> "Sweep":
        """Return the sweep without limits, as it is without faults."""
        content = {name: value for name, value in self.content.items() if name not in ("budget", "tracking")}
        at_once = self.content.get("resources", {}).get("max_concurrent")
        return Sweep({**content, "resources": {"max_concurrent": at_once, "min_free_gb": 0}})

    def identity(self) -> str:
        """Equal for sweeps that must have the same result."""
        kept = {name: value for name, value in self.content.items() if name not in _MAY_CHANGE}
        return yaml.safe_dump(kept, sort_keys=True)

    def write(self, path: Path) -> Path:
        """Write the file for `convnn run`."""
        path.write_text(yaml.safe_dump(self.content))
        return path


def _merged(there: Any, value: Any) -> Any:
    """Return `value` with the missing fields of `there`; domains and alternatives are replaced as a whole."""
    if all(isinstance(side, dict) and not side.keys() & {"any_of", "choice", "log_uniform"} for side in (there, value)):
        return {**there, **value}
    return value


LAYER = {
    "kind": "hybrid",
    "lambda": {"choice": [0, 0.5]},
    "k": 3,
    "candidates": {"kind": "random", "r": 16, "when_too_few": "all"},
}

SMALL = {"width": 0.0625, "classifier_width": 16, "layer": LAYER}

GRID = Sweep(
    {
        "name": "grid",
        "space": {
            "data": {"name": "digits", "limit": 120},
            "model": SMALL,
            "training": {"lr": {"choice": [0.001, 0.003]}, "epochs": 12, "batch_size": 16},
        },
        "evaluation": {"protocol": "holdout", "fraction": 0.2},
        "resources": {"checkpoint_every_s": 0.5, "min_free_gb": 0},
    }
)
"""Four trials, two at a time; some seconds of training."""

EPOCHS: int = GRID.content["space"]["training"]["epochs"]
"""Epochs of each of its trials."""

SHORT_GRID = GRID.but(name="short", space__training__lr=0.001)
"""Two trials."""

RANDOM = GRID.but(
    name="random",
    space__training__lr={"log_uniform": [1e-4, 1e-2]},
    space__training__epochs=6,
    search={"sampler": "random", "trials": 6, "seed": 3},
)
"""Six trials of a random search."""

ADAPTIVE = RANDOM.but(
    name="adaptive",
    space__training__epochs=9,
    search={"sampler": "tpe", "trials": 13, "seed": 5},
    stopping={"kind": "asha", "grace_epochs": 1, "reduction_factor": 3},
    resources={"max_concurrent": 1},
)
"""TPE and ASHA, one trial at a time, so that proposals and stops depend on every earlier value."""

SEARCH = ADAPTIVE.but(
    name="search",
    space__model__layer={"lambda": 0.5, "k": {"choice": [3, 4]}},
    space__training__epochs=15,
    search={"trials": 10},
    stopping={"grace_epochs": 2},
    objective={"metric": "val/loss"},
)
"""The same with one model, so that epochs take equally long, by a value that differs between trials."""

LONGER_GRID = GRID.but(name="longer", space__training__epochs=26)
"""Long enough for several faults."""
