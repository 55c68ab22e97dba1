"""A stopping rule that learns from the sweep's complete trials how well intermediate results predict final ones.

At each of a dozen rungs, linear models that predict the final value from the learning curve so far (accuracy, loss,
slope) are fitted to the complete trials. They are averaged with the belief that the curve predicts nothing (`lines`). A
trial's worth is its chance to end above the best, in units of a fresh trial's chance. A trial is stopped if its worth
is below the gain from spending the same epochs on fresh trials: Weitzman's rule (Optimal search for the best
alternative, 1979) with the rate of this sweep so far. With fewer complete trials, a trial needs less worth to continue.
The first trials always run to the end. So does one of every `CONTROL_EVERY` later ones: a regression on survivors alone
would not notice if stopped trials would have recovered.

Recorded sweeps (`prior`) are trusted as far as this sweep's first trials resemble them. Like every other belief, they
are tested against its complete trials.

The module is pure: the same events in the same order give the same answers. It uses no files, clocks or Optuna.
"""

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from tune_jobs.search.pruners.lines import Belief, Floats, Lines, chance_above, fit_lines
from tune_jobs.search.pruners.prior import COMPARED, RecordedSweep, early_numbers, resemblance

FRACTIONS = (0.03, 0.05, 0.07, 0.1, 0.13, 0.17, 0.22, 0.28, 0.36, 0.46, 0.6, 0.77)
"""The fractions of a trial's epochs at which it is judged (the rungs)."""
FIRST = 8
"""Number of complete trials before any is stopped: the fewest that can separate a line with three slopes from noise."""
CONTROL_EVERY = 24
NUMBERS = 3
"""Number of features of a curve at a rung: its value, minus the logarithm of its loss, its slope."""
RIDGES = (0.3, 1.0, 3.0, 10.0, 100.0)
NOTHING = 1000.0
"""Strength of the belief that all slopes are zero."""
NOISE_STRENGTH = 2.0
CLIPPED_AT = 2.0
"""Values are clipped below the median, at this many times the distance of the best above it, to limit outliers."""
SETTLED_STRENGTH, SETTLED_NOISE, SETTLED_SHARE = 8.0, 0.01, 1e-4
"""One belief is that the final value equals the present standing. The others start with the variance of the finals."""
LATENESS = 7.8
"""How slowly the rule becomes strict: a trial needs `1 - LATENESS / complete trials` of a fresh trial's worth."""
MOST_RATE = 4.0
"""Upper limit of the worth that an epoch is assumed to buy."""
FIRST_KNOWN, SETTLED_AT, SETTLED_FROM = 4, 0.1, 0.4
"""`FIRST_KNOWN` complete trials suffice if, in recorded sweeps, the standing at the fraction `SETTLED_AT` of the epochs
explained at least `SETTLED_FROM` of the variance of the finals."""
KNOWN_WORTH = 0.45
"""The worth that suffices if the recorded standing explained all of the variance of the finals."""


class _Rung:
    """The model of one rung, fitted to the complete trials."""

    def __init__(self, courses: Floats, finals: Floats, beliefs: list[Belief]) -> None:
        self._lowest = _lowest(courses)
        courses = np.maximum(courses, self._lowest)
        self._middle, self._spread = courses.mean(0), _spread(courses)
        finals = np.maximum(finals, _lowest(finals))
        standard = (finals - finals.mean()) / _spread(finals)
        self._best = float(standard.max())
        self.lines: Lines = fit_lines(self._standard(courses), standard, beliefs)

    def _standard(self, courses: Floats) -> Floats:
        standard: Floats = (np.maximum(courses, self._lowest) - self._middle) / self._spread
        return standard

    def chances(self, courses: Floats) -> Floats:
        """Return the chances to end above the best complete trial."""
        return chance_above(self.lines, self._standard(courses), self._best)


class _Fitted(NamedTuple):
    """The state of a fitted rung."""

    complete: int
    """Number of complete trials at the time of the fit."""
    lines: _Rung
    fresh: float
    """The chance of a fresh trial."""


class AutoRule:
    """Decides after each epoch whether to stop a trial."""

    def __init__(self, epochs: int, *, maximize: bool, seed: int = 0, prior: tuple[RecordedSweep, ...] = ()) -> None:
        """Start a sweep.

        Args:
            epochs: Number of epochs of a complete trial.
            maximize: Whether higher is better.
            seed: Determines which trials are controls.
            prior: Recorded sweeps that this one may resemble.
        """
        rungs = sorted({max(1, round(fraction * epochs)) for fraction in FRACTIONS} - {epochs})
        self._epochs, self._sign, self._seed = epochs, 1.0 if maximize else -1.0, seed
        self._index = {epoch: index for index, epoch in enumerate(rungs)}
        self._fractions = np.array(rungs) / epochs
        self._prior, self._trust = prior if maximize else (), np.zeros(len(prior))
        self._early: list[tuple[list[float], list[float]]] = []  # the first trials at a tenth of their epochs
        self._recorded_rung = [int(np.abs(np.array(FRACTIONS) - fraction).argmin()) for fraction in self._fractions]
        self._running: dict[int, tuple[list[float], list[float]]] = {}
        self._courses = np.full((len(rungs), 64, NUMBERS), np.nan)
        self._finals = np.full(64, np.nan)
        self._stopped_at = np.full(64, np.iinfo(np.int64).max)  # rung
        self._worths = np.zeros(64)  # of the stopped trials
        self._seen = 0  # highest trial number plus one
        self._complete = 0
        self._worst = math.inf  # worst finite value; replaces NaN
        self._fitted: dict[int, _Fitted] = {}  # by rung

    def observe(self, trial: int, epoch: int, value: float, loss: float | None = None) -> bool:
        """Note one epoch of a trial, and return whether to stop it there.

        Args:
            trial: Counts from 0 in the order of starts.
            epoch: Counts from 1, in order and without gaps.
            value: The objective.
            loss: The loss, if available; ignored unless it is positive.
        """
        self._make_room(trial)
        values, losses = self._running.setdefault(trial, ([], []))
        if epoch != len(values) + 1:
            return False  # a curve with a gap is not judged
        values.append(self._finite(value))
        losses.append(-math.log(loss) if loss is not None and 0 < loss < math.inf else 0.0)
        if epoch == self._epochs:
            self._finals[trial] = values[-1]
            self._complete += 1
            return False
        if self._prior and epoch == self._epochs // 10:
            self._compare(values, losses)
        rung = self._index.get(epoch)
        if rung is None:
            return False
        self._courses[rung, trial] = _course(values, losses)
        patience = self._patience(rung)
        if patience <= 0 or self.is_control(trial):
            return False
        known = self._fitted.get(rung)
        if known is None or known.complete != self._complete:
            known = self._fitted[rung] = self._fit(rung)
        worth = self._worth(trial, rung, known)
        if worth >= self._enough(rung):
            return False
        self._stopped_at[trial], self._worths[trial] = rung, worth
        return True

    def would_stop(self, trial: int, epoch: int) -> bool:
        """Whether a control would be stopped after this epoch, its last so far, if it were not a control.

        The call does not change later decisions of the rule.
        """
        rung = self._index.get(epoch)
        values, _ = self._running.get(trial, ((), ()))
        if rung is None or self._patience(rung) <= 0 or len(values) != epoch:
            return False
        known = self._fitted.get(rung)
        if known is None or known.complete != self._complete:
            known = self._fit(rung)
        return self._worth(trial, rung, known) < self._enough(rung)

    def ended(self, trial: int, state: Literal["complete", "stopped", "failed"]) -> None:
        """Note a trial's end; the rule does not learn from failed trials."""
        self._running.pop(trial, None)
        if state == "failed" and trial < self._seen:
            self._courses[:, trial] = np.nan

    def is_control(self, trial: int) -> bool:
        """Whether a trial always runs to its end."""
        first = FIRST_KNOWN if self._settled() else FIRST
        return trial < first or (trial + 1 + self._seed) % CONTROL_EVERY == 0

    def _patience(self, rung: int) -> float:
        """Return the sufficient worth at a rung: near 0 after 8 complete trials, a third of a fresh one's after 12."""
        if self._complete < (FIRST_KNOWN if self._settled() else FIRST):
            return 0.0
        return max(1 - LATENESS / self._complete, KNOWN_WORTH * self._explained(self._recorded_rung[rung]))

    def _compare(self, values: list[float], losses: list[float]) -> None:
        """Note a trial at a tenth of its epochs; with enough trials, compare this sweep with the recorded ones."""
        if len(self._early) >= COMPARED:
            return
        self._early.append((values.copy(), losses.copy()))
        if len(self._early) == COMPARED:
            known, logs = np.array([early[0] for early in self._early]), np.array([early[1] for early in self._early])
            numbers = early_numbers(known, logs)
            if numbers is not None:
                self._trust = resemblance(numbers, self._prior)
                self._fitted.clear()

    def _settled(self) -> bool:
        return bool(self._trust.any()) and self._explained(FRACTIONS.index(SETTLED_AT)) >= SETTLED_FROM

    def _explained(self, rung: int) -> float:
        """Return the share of the finals' variance that the standing explains, according to recorded sweeps."""
        return sum(float(trust * sweep.explained[rung]) for trust, sweep in zip(self._trust, self._prior, strict=False))

    def _rate(self) -> float:
        """Return the worth bought per full trial of epochs in this sweep so far; 1 if no trial was stopped."""
        rungs = self._stopped_at[: self._seen]
        stopped = rungs < len(self._fractions)
        cost = float((~stopped).sum()) + float(self._fractions[rungs[stopped]].sum())
        return min(MOST_RATE, max(1.0, (self._seen - float(self._worths[: self._seen][stopped].sum())) / cost))

    def _enough(self, rung: int) -> float:
        """Return the worth that a trial needs to continue."""
        return min(self._patience(rung), self._rate() * (1 - float(self._fractions[rung])))

    def _worth(self, trial: int, rung: int, known: _Fitted) -> float:
        """Return a trial's chance to end above the best, relative to a fresh trial's chance."""
        return float(known.lines.chances(self._courses[rung, trial][None])[0]) / known.fresh

    def _fit(self, rung: int) -> _Fitted:
        """Fit the rung to the complete trials; a fresh trial's chance is the mean over all trials that reached it."""
        courses = self._courses[rung, : self._seen]
        came = ~np.isnan(courses[:, 0])
        whole = came & ~np.isnan(self._finals[: self._seen])
        own = 1 - float(self._trust.sum())
        held = [each._replace(share=own * each.share) for each in beliefs(float(self._fractions[rung]))]
        if own < 1:
            at = self._recorded_rung[rung]
            held += [sweep.belief(at, float(t)) for t, sweep in zip(self._trust, self._prior, strict=True)]
        lines = _Rung(courses[whole], self._finals[: self._seen][whole], held)
        before = self._stopped_at[: self._seen] < rung
        others = came.sum() + before.sum() - self._worths[: self._seen][before].sum()
        fresh = float(lines.chances(courses[came]).sum()) / max(float(others), 1e-3)
        return _Fitted(self._complete, lines, max(fresh, 1e-12))

    def _finite(self, value: float) -> float:
        """Return the value with a sign so that higher is better; the worst value so far replaces NaN."""
        signed = self._sign * value
        if math.isfinite(signed):
            self._worst = min(self._worst, signed)
            return signed
        return self._worst if math.isfinite(self._worst) else 0.0

    def _make_room(self, trial: int) -> None:
        while trial >= len(self._finals):
            self._courses = np.concatenate([self._courses, np.full_like(self._courses, np.nan)], axis=1)
            self._finals = np.concatenate([self._finals, np.full_like(self._finals, np.nan)])
            self._stopped_at = np.concatenate(
                [self._stopped_at, np.full_like(self._stopped_at, np.iinfo(np.int64).max)]
            )
            self._worths = np.concatenate([self._worths, np.zeros_like(self._worths)])
        self._seen = max(self._seen, trial + 1)


def summarized(values: Floats, losses: Floats) -> Iterator[tuple[Floats, Floats]]:
    """Yield for each rung the standardized features and finals of complete trials, given as (trials, epochs)."""
    finals = np.maximum(values[:, -1], _lowest(values[:, -1]))
    for fraction in FRACTIONS:
        until = max(1, round(fraction * values.shape[1]))
        logs = -np.log(losses[:, :until])
        courses = np.array([_course(*each) for each in zip(values[:, :until].tolist(), logs.tolist(), strict=True)])
        courses = np.maximum(courses, _lowest(courses))
        yield (courses - courses.mean(0)) / _spread(courses), (finals - finals.mean()) / finals.std()


def beliefs(fraction: float) -> list[Belief]:
    """Return the beliefs without a prior: the earlier the rung, the stronger the belief that the curve says nothing."""
    nothing = 0.9 - 0.4 * min(1.0, fraction / 0.4)
    flat = np.zeros(NUMBERS)
    share = (1 - nothing - SETTLED_SHARE) / len(RIDGES)
    some = [Belief(flat, ridge, 1.0, NOISE_STRENGTH, share) for ridge in RIDGES]
    settled = Belief(np.array([1.0, 0.0, 0.0]), SETTLED_STRENGTH, SETTLED_NOISE, NOISE_STRENGTH, SETTLED_SHARE)
    return [*some, settled, Belief(flat, NOTHING, 1.0, NOISE_STRENGTH, nothing)]


def _course(values: list[float], losses: list[float]) -> tuple[float, float, float]:
    """Return value and loss as means over the last quarter so far, and the rise of the value over the second half."""
    epoch = len(values)
    half = max(1, epoch // 2)
    value = _late_mean(values, epoch)
    return value, _late_mean(losses, epoch), value - _late_mean(values, half)


def _late_mean(values: list[float], epoch: int) -> float:
    start = min(int(0.75 * epoch), epoch - 1)
    return sum(values[start:epoch]) / (epoch - start)


def _lowest(values: Floats) -> Floats:
    middle = np.median(values, axis=0)
    lowest: Floats = middle - CLIPPED_AT * (values.max(0) - middle)
    return lowest


def _spread(values: Floats) -> Floats:
    """Return the standard deviation; 1 if all values are equal."""
    spread = values.std(axis=0, ddof=1)
    return np.where(spread > 1e-12 * (1 + np.abs(values).max(0)), spread, 1.0)
