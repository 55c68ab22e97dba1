"""Synthetic objectives for samplers that learn; a search on them takes seconds.

Each is a pure function of its seed and the configuration's number: a random optimum, a random weight for each field,
and noise.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from search_spaces import TrialConfig, parse_sweep
from tune_jobs.events import Ended, EpochEnded, Job
from tune_jobs.search.queue import Search

Objective = Callable[[TrialConfig], float]
WORKERS, TRIALS = 4, 64
SPACE = """
name: made-up
space:
  model:
    name: vgg11
    layer:
      kind: hybrid
      lambda: {choice: [0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875]}
      k: {int: [1, 12]}
      similarity: {choice: [cosine, euclidean]}
      position: {choice: [none, similarity, both]}
      candidates: {kind: random, r: {int: [16, 256], log: true}, when_too_few: all}
  training: {lr: {log_uniform: [1.0e-5, 1.0e-1]}, weight_decay: {log_uniform: [1.0e-6, 1.0e-1]}, epochs: 1}
search: {sampler: %s, trials: %d, seed: %d}
"""
_LOWEST, _HIGHEST = np.array([-1, -1, 0.2, 0.2, 0.2]), np.array([1, 1, 0.8, 0.9, 0.8])


class _Landscape:
    """A quadratic bowl in five numbers, and an effect of each word; `rng` draws the noise."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed + 1000)
        self.optimum = self.rng.uniform(_LOWEST, _HIGHEST)
        self._weights = self.rng.exponential([3, 1, 4, 2, 2])
        self._words: dict[str, float] = dict.fromkeys(("cosine", "euclidean", "none", "similarity", "both"), 0.0)
        for word in self._words:
            self._words[word] = self.rng.normal(0, 0.7)

    def numbers(self, config: TrialConfig) -> npt.NDArray[np.float64]:
        """Return the five numbers, all of similar size."""
        values = config.model_dump(mode="json", by_alias=True)
        layer, training = values["model"]["layer"], values["training"]
        candidates = layer["candidates"].get("r", 256)  # without r: all of them
        rates = (np.log10(training["lr"]) + 3, (np.log10(training["weight_decay"]) + 3.5) / 1.5)
        return np.array([*rates, layer["lambda"], layer["k"] / 12, np.log(candidates / 16) / np.log(16)])

    def height(self, config: TrialConfig) -> float:
        """Return the objective without noise."""
        layer = config.model_dump(mode="json", by_alias=True)["model"]["layer"]
        words = self._words[layer["similarity"]] + self._words[layer["position"]]
        return words - float((self._weights * (self.numbers(config) - self.optimum) ** 2).sum())


def smooth(seed: int) -> Objective:
    """A bowl with little noise: TPE improves until the end."""
    land = _Landscape(seed)
    return lambda config: land.height(config) + land.rng.normal(0, 0.1)


def noisy(seed: int) -> Objective:
    """The same bowl with noise as large as the differences."""
    land = _Landscape(seed)
    return lambda config: land.height(config) + land.rng.normal(0, 1)


def noise(seed: int) -> Objective:
    """Pure noise: there is nothing to learn."""
    land = _Landscape(seed)
    return lambda _: land.rng.normal(0, 1)


def peak(seed: int) -> Objective:
    """Flat except for one peak, which is found late or never."""
    land = _Landscape(seed)
    return lambda config: 3 * float(np.exp(land.height(config))) + land.rng.normal(0, 0.1)


def cliff(seed: int) -> Objective:
    """Learning rates above a limit end at chance."""
    land = _Landscape(seed)

    def objective(config: TrialConfig) -> float:
        over = land.numbers(config)[0] > land.optimum[0] + 0.3
        return (-20 if over else land.height(config)) + land.rng.normal(0, 0.2)

    return objective


OBJECTIVES: dict[str, Callable[[int], Objective]] = {
    made.__name__: made for made in (smooth, noisy, noise, peak, cliff)
}


def searched(sampler: str, seed: int, objective: Objective, trials: int = TRIALS) -> npt.NDArray[np.float64]:
    """Return the results of a search, trial by trial, four at a time, in standard deviations of random draws."""
    search = Search(parse_sweep(SPACE % (sampler, trials, seed)))
    found, running = [], list[tuple[Job, float]]()
    while True:
        while len(running) < WORKERS and not search.idle and (start := search.propose().start) is not None:
            job = Job(start.run_key, 1, start.number, start.config, start.alone)
            running.append((job, objective(start.config)))
        if not running:
            break
        job, value = running.pop(0)
        search.tell(EpochEnded(job, 1, {"val/accuracy": value}))
        search.tell(Ended(job, "complete", None))
        found.append(value)
    random = Search(parse_sweep(SPACE % ("random", trials, seed)))
    draws = [objective(start.config) for _ in range(trials) if (start := random.propose().start) is not None]
    return np.array(found, np.float64) / float(np.std(draws))
