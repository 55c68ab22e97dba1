"""What is known of the final value of a trial from a few numbers about its course: Bayesian lines, averaged.

Each line is a ridge regression with its noise integrated out (the conjugate normal-inverse-gamma model: Gelman et al.,
Bayesian Data Analysis, 3rd ed., 14.2), so what it foretells is a Student t that is wide where few trials are complete
or the trial lies far from them. Lines that differ in how much they believe are averaged by their marginal likelihood
(Hoeting et al., Bayesian Model Averaging, 1999). One of them believes that the course says nothing.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Belief(NamedTuple):
    """What is held before a trial is complete, in standard deviations of the final values and of each number."""

    slopes: Floats
    """Expected, (numbers,)."""
    strength: float
    """How many complete trials the slopes are worth."""
    noise: float
    """Variance that the line is expected to leave."""
    noise_strength: float
    """How many complete trials that is worth."""
    share: float
    """Of the trust in all beliefs; they sum to one."""


class Lines(NamedTuple):
    """Lines after what the complete trials had to say; the first axis goes over beliefs."""

    trust: Floats
    slopes: Floats
    unsure: Floats
    """Inverse precision of the slopes, in units of the noise."""
    noise: Floats
    freedom: Floats
    trials: int


def fit_lines(courses: Floats, finals: Floats, beliefs: list[Belief]) -> Lines:
    """Learn from complete trials.

    Args:
        courses: Standardised, (trials, numbers).
        finals: Standardised, (trials,).
        beliefs: At least one.
    """
    trials, numbers = courses.shape
    prior = np.array([belief.slopes for belief in beliefs])
    strength = np.array([belief.strength for belief in beliefs])
    own = np.array([belief.noise_strength for belief in beliefs])
    before = own * np.array([belief.noise for belief in beliefs])
    precision = courses.T @ courses + strength[:, None, None] * np.eye(numbers)
    towards = courses.T @ finals + strength[:, None] * prior
    unsure: Floats = np.linalg.inv(precision).astype(np.float64)
    slopes = np.einsum("cpq,cq->cp", unsure, towards)
    freedom = own + trials - 1  # the mean takes one
    left = before + finals @ finals + strength * (prior**2).sum(1) - (slopes * towards).sum(1)
    left = np.maximum(left, 1e-9)
    likelihood = 0.5 * (numbers * np.log(strength) - np.linalg.slogdet(precision)[1])
    likelihood += 0.5 * (own * np.log(before / 2) - freedom * np.log(left / 2))
    likelihood += _half_log_gamma(freedom) - _half_log_gamma(own)
    trust = likelihood + np.log([belief.share for belief in beliefs])
    trust = np.exp(trust - trust.max())
    return Lines(trust / trust.sum(), slopes, unsure, left / freedom, freedom, trials)


def chance_above(lines: Lines, courses: Floats, bar: float) -> Floats:
    """How probable it is that trials end above a standardised value, (trials,)."""
    expected = lines.slopes @ courses.T
    unsure = ((courses @ lines.unsure) * courses).sum(2)
    scale = np.sqrt(lines.noise[:, None] * (1 + 1 / lines.trials + unsure))
    chance: Floats = lines.trust @ student_below((expected - bar) / scale, lines.freedom[:, None])
    return np.maximum(chance, 1e-12)


def student_below(value: Floats, freedom: Floats) -> Floats:
    """Student's distribution function, from the normal one.

    After Wallace, Bounds on normal approximations to Student's and the chi-square distributions, 1959: within 0.002 of
    the truth from 4 degrees of freedom.
    """
    size = np.sqrt(freedom * np.log1p(value**2 / freedom)) * (8 * freedom + 1) / (8 * freedom + 3)
    above = _normal_above(size)
    return np.where(value > 0, 1 - above, above)


def _normal_above(size: Floats) -> Floats:
    """Upper tail for sizes of at least 0, relative error 1.2e-7 (Press et al., Numerical Recipes, 6.2: `erfcc`)."""
    half = size / np.sqrt(2)
    t = 1 / (1 + 0.5 * half)
    terms = (
        0.17087277,
        -0.82215223,
        1.48851587,
        -1.13520398,
        0.27886807,
        -0.18628806,
        0.09678418,
        0.37409196,
        1.00002368,
        -1.26551223,
    )
    tail: Floats = 0.5 * t * np.exp(-(half**2) + np.polyval(terms, t))
    return tail


def _half_log_gamma(freedom: Floats) -> Floats:
    """Logarithm of the gamma function at half of each."""
    return np.array([math.lgamma(value / 2) for value in freedom])
