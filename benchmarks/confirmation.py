"""Error rate, power and cost of a confirmation: `python -m benchmarks.confirmation [--families N]`.

A family is five configurations and a baseline. The noise is normal with equal or unequal standard deviations,
heavy-tailed, or drawn from the published runs. In the last case it is the difference of repeated runs of one
configuration from their mean, scaled up for their number. True differences are in standard deviations of the noise.
`fixed` is Welch's test with 16 seeds for all and Bonferroni correction. `seeds` is the mean number of runs per
configuration, including the baseline.
"""

import argparse
import platform
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from search_spaces import config_key
from tune_jobs.evidence.verdicts import ERROR, LOOKS, Design, decided
from tune_jobs.results.recorded.published import published

Floats = npt.NDArray[np.float64]
Noise = Callable[[np.random.Generator, tuple[int, ...]], Floats]
CANDIDATES = 5
EFFECTS = (0.5, 1.0, 2.0)


class Found(NamedTuple):
    """Results over many families."""

    wrong: float
    """Fraction of families with a false `real`."""

    power: float
    """Fraction of true differences that are found `real`."""

    fixed_wrong: float
    fixed_power: float
    seeds: float


def residuals(model: str, data: str) -> Floats:
    """Return the differences of published repeats' final accuracies from their configuration's mean, scaled to sd 1."""
    table = published()
    groups: dict[str, list[float]] = {}
    for run, curve, epochs in zip(table.runs, table.curves["test/accuracy"], table.lengths, strict=True):
        config = run.config
        if config is not None and config.model.name == model and config.data.name == data:
            groups.setdefault(config_key(config), []).append(float(curve[epochs - 1]))
    repeated = [np.array(values) for values in groups.values() if len(values) > 1]
    wide = [(values - values.mean()) * np.sqrt(len(values) / (len(values) - 1)) for values in repeated]
    pooled = np.concatenate(wide)
    return np.asarray(pooled / pooled.std(), np.float64)


def found(effects: list[float], noise: Noise, sds: list[float], families: int, seed: int) -> Found:
    """Run the confirmation on families with these true differences."""
    random = np.random.default_rng(seed)
    runs = noise(random, (families, len(effects) + 1, LOOKS[-1])) * np.array(sds)[:, None]
    runs[:, 1:] += np.array(effects)[:, None]
    design = Design(len(effects), margin=0.0)
    under_way = np.ones((families, len(effects)), bool)
    real, used = np.zeros_like(under_way), np.zeros((families, len(effects) + 1))
    for look, count in enumerate(LOOKS):
        used[:, 1:][under_way] = count
        used[under_way.any(1), 0] = count
        is_real, ends = decided(design, look, runs[:, 1:, :count], runs[:, :1, :count])
        real |= under_way & is_real
        under_way &= ~ends
    test = stats.ttest_ind(runs[:, 1:], runs[:, :1], axis=-1, equal_var=False)
    fixed = test.pvalue < ERROR / len(effects)
    equals = np.array(effects) == 0

    def wrong(verdicts: npt.NDArray[np.bool_]) -> float:
        return float(verdicts[:, equals].any(1).mean())

    def power(verdicts: npt.NDArray[np.bool_]) -> float:
        return float(verdicts[:, ~equals].mean()) if not equals.all() else float("nan")

    return Found(wrong(real), power(real), wrong(fixed), power(fixed), float(used.mean()))


def _drawn_from(pool: Floats) -> Noise:
    return lambda random, shape: random.choice(pool, shape)


def noises() -> dict[str, tuple[Noise, list[float]]]:
    """Return, by name, the noise and the standard deviations of baseline and configurations."""
    ones = [1.0] * (CANDIDATES + 1)

    def normal(random: np.random.Generator, shape: tuple[int, ...]) -> Floats:
        return random.standard_normal(shape)

    made_up = {
        "normal": (normal, ones),
        "baseline half as noisy": (normal, [0.5, *ones[1:]]),
        "one twice as noisy": (normal, [*ones[:-1], 2.0]),
        "Student's t, 3 df": (lambda random, shape: random.standard_t(3, shape) / np.sqrt(3), ones),
    }
    recorded = {
        f"published {model} {data}": (_drawn_from(residuals(model, data)), ones)
        for model in ("vgg11", "vit_tiny")
        for data in ("cifar10", "cifar100")
    }
    return made_up | recorded


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print(
        f"{platform.machine()}, Python {platform.python_version()}; {asked.families:,} families each, seed {asked.seed}"
    )
    print("| noise | true differences | false real | fixed | power | fixed | seeds |\n|---|---|---|---|---|---|---|")
    for name, (noise, sds) in noises().items():
        for effects in ([0.0] * CANDIDATES, *([effect] * CANDIDATES for effect in EFFECTS), [0.0, 0.0, 0.0, 1.0, 1.0]):
            it = found(effects, noise, sds, asked.families, asked.seed)
            cells = [name, " ".join(f"{effect:g}" for effect in effects)]
            cells += [f"{value:.1%}" for value in (it.wrong, it.fixed_wrong, it.power, it.fixed_power)]
            print(f"| {' | '.join(cells)} | {it.seeds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
