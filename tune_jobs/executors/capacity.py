"""How many trials fit on the machines at a time."""

from collections.abc import Iterable, Mapping

from search_spaces.settings import Resources


def per_trial(resources: Resources) -> dict[str, float]:
    """Return the resources reserved for one trial."""
    return {"CPU": float(resources.cpus_per_trial), "GPU": resources.gpus_per_trial}


def fitting(asked: Mapping[str, float], there: Iterable[Mapping[str, float]]) -> int:
    """Count the trials that fit at a time on machines with these resources; each trial needs a single machine."""
    return sum(
        int(min(machine.get(kind, 0.0) / least + 1e-9 for kind, least in asked.items() if least)) for machine in there
    )
