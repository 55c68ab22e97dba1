"""The sweeps that faults are done to: small enough to be repeated often, long enough to be hit in the middle."""

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
        """What `convnn` calls it."""
        return str(self.content["name"])

    def but(self, **changes: Any) -> "Sweep":
        """The same with other values: `space__training__epochs=3`; fields of a mapping are added to those there."""
        content = copy.deepcopy(self.content)
        for path, value in changes.items():
            *parents, last = path.split("__")
            place = content
            for parent in parents:
                place = place.setdefault(parent, {})
            place[last] = _merged(place.get(last), value)
        return Sweep(content)

    def left_alone(self) -> "Sweep":
        """The same without limits: what it comes to when nothing happens to it."""
        content = {name: value for name, value in self.content.items() if name not in ("budget", "tracking")}
        at_once = self.content.get("resources", {}).get("max_concurrent")
        return Sweep({**content, "resources": {"max_concurrent": at_once, "min_free_gb": 0}})

    def identity(self) -> str:
        """Equal for sweeps that must come to the same."""
        kept = {name: value for name, value in self.content.items() if name not in _MAY_CHANGE}
        return yaml.safe_dump(kept, sort_keys=True)

    def write(self, path: Path) -> Path:
        """The file for `convnn run`."""
        path.write_text(yaml.safe_dump(self.content))
        return path


def _merged(there: Any, value: Any) -> Any:
    """`value`, with the fields that are `there` and not in it; neither a domain nor alternatives have fields."""
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
"""Of each of its trials."""

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
"""TPE and ASHA, a trial at a time, so that what is proposed and stopped depends on every earlier number."""

SEARCH = ADAPTIVE.but(
    name="search",
    space__model__layer={"lambda": 0.5, "k": {"choice": [3, 4]}},
    space__training__epochs=18,
    search={"trials": 10},
    stopping={"grace_epochs": 2},
    objective={"metric": "val/loss"},
)
"""The same of one model, so that epochs are alike, by a number that no two trials share."""

LONGER_GRID = GRID.but(name="longer", space__training__epochs=26)
"""Long enough to be hit several times."""
