"""Predicts the final value of a trial from a few features of its learning curve: averaged Bayesian linear models.

Each line is a ridge regression with its noise integrated out (the conjugate normal-inverse-gamma model: Gelman et al.,
Bayesian Data Analysis, 3rd ed., 14.2). So its prediction is a Student t distribution, which is wide if few trials are
complete or the trial lies far from them. Lines with different prior beliefs are averaged by their marginal likelihood
(Hoeting et al., Bayesian Model Averaging, 1999). One of them believes that the curve says nothing.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Belief(NamedTuple):
    """A prior belief about a line, in standard deviations of the final values and of each feature."""

    slopes: Floats
    """Expected slopes, (numbers,)."""
    strength: float
    """Weight of the slopes, as a number of complete trials."""
    noise: float
    """Expected residual variance of the line."""
    noise_strength: float
    """Weight of the residual variance, as a number of complete trials."""
    share: float
    """Prior weight of this belief; the weights of all beliefs sum to one."""


class Lines(NamedTuple):
    """Lines after the fit to the complete trials; the first axis goes over beliefs."""

    trust: Floats
    slopes: Floats
    unsure: Floats
    """Inverse precision of the slopes, in units of the noise."""
    noise: Floats
    freedom: Floats
    trials: int


def fit_lines(courses: Floats, finals: Floats, beliefs: list[Belief]) -> Lines:
    """Fit lines to complete trials.

    Args:
        courses: Standardized features, (trials, numbers).
        finals: Standardized final values, (trials,).
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
    freedom = own + trials - 1  # the mean uses one
    left = before + finals @ finals + strength * (prior**2).sum(1) - (slopes * towards).sum(1)
    left = np.maximum(left, 1e-9)
    likelihood = 0.5 * (numbers * np.log(strength) - np.linalg.slogdet(precision)[1])
    likelihood += 0.5 * (own * np.log(before / 2) - freedom * np.log(left / 2))
    likelihood += _half_log_gamma(freedom) - _half_log_gamma(own)
    trust = likelihood + np.log([belief.share for belief in beliefs])
    trust = np.exp(trust - trust.max())
    return Lines(trust / trust.sum(), slopes, unsure, left / freedom, freedom, trials)


def chance_above(lines: Lines, courses: Floats, bar: float) -> Floats:
    """Return the probability that trials end above a standardized value, (trials,)."""
    expected = lines.slopes @ courses.T
    unsure = ((courses @ lines.unsure) * courses).sum(2)
    scale = np.sqrt(lines.noise[:, None] * (1 + 1 / lines.trials + unsure))
    chance: Floats = lines.trust @ student_below((expected - bar) / scale, lines.freedom[:, None])
    return np.maximum(chance, 1e-12)


def student_below(value: Floats, freedom: Floats) -> Floats:
    """Return Student's t distribution function, approximated by the normal one.

    Source: Wallace, Bounds on normal approximations to Student's and the chi-square distributions, 1959. The error is
    at most 0.002 from 4 degrees of freedom on.
    """
    size = np.sqrt(freedom * np.log1p(value**2 / freedom)) * (8 * freedom + 1) / (8 * freedom + 3)
    above = _normal_above(size)
    return np.where(value > 0, 1 - above, above)


def _normal_above(size: Floats) -> Floats:
    """Return the upper normal tail for sizes >= 0; relative error 1.2e-7 (Press et al., Numerical Recipes, 6.2)."""
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
    """Return the logarithm of the gamma function at half of each value."""
    return np.array([math.lgamma(value / 2) for value in freedom])
