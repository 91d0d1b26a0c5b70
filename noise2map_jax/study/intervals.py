"""Confidence intervals of a score that varies between seeds and between places.

Seeds and places are crossed: every seed is scored on the same places. Neither the records of one
place nor the places of one seed are independent observations, so seeds and places each have a
standard error of their own.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from scipy import optimize, special, stats

from noise2map_jax.method.foreground_scores import foreground_f1, foreground_pixels

MIN_SEEDS = 2  # one seed alone does not show how much seeds differ
MIN_PLACES = 3
POWER = 0.8


class Interval(NamedTuple):
    """An interval from `low` to `high`."""

    low: float
    high: float

    def leaves_out_zero(self) -> bool:
        """Whether the whole interval is on one side of 0."""
        return self.low > 0 or self.high < 0


@dataclasses.dataclass(frozen=True, eq=False)
class Estimate:
    """A mean over seeds with its standard errors, for one score or many at once ([...] arrays).

    Attributes:
        mean: [...] the mean over seeds of the score of all places.
        seed_error: [...] standard error of the mean from variation between seeds.
        place_error: [...] standard error of the mean from variation between places, by the
            delete-one jackknife (Efron and Tibshirani 1993, An Introduction to the Bootstrap,
            ch. 11); infinite if the score is not defined without one of the places.
        num_seeds: number of seeds, S.
        num_places: number of places, M.
        effective_places: [...] the places count as this many places of equal size (Kish 1965,
            Survey Sampling, ch. 8): a place that holds most of the foreground decides the score,
            however many other places there are.
    """

    mean: np.ndarray
    seed_error: np.ndarray
    place_error: np.ndarray
    num_seeds: int
    num_places: int
    effective_places: np.ndarray

    @property
    def refusal(self) -> str:
        """Why one score has no interval; empty if it has one."""
        if self.num_seeds < MIN_SEEDS:
            return f"{_count(self.num_seeds, 'seed')}, at least {MIN_SEEDS} are needed"
        if self.num_places < MIN_PLACES:
            return f"{_count(self.num_places, 'place')}, at least {MIN_PLACES} are needed"
        return "no foreground is labelled" if np.isnan(self.mean) else ""

    def half_width(self, alpha: float) -> np.ndarray:
        """Half the width of the interval with confidence 1 - alpha: [...].

        The squared half-width is the sum of those of Student's t intervals over seeds and over
        places. For normal effects of seeds and places, the confidence holds for any variances
        (Banerjee 1960, Sankhya 22: given the errors, the chance that the interval contains the
        truth is a concave function of the squared half-width in units of the true variance, so it
        is at least the mean of both chances). For alpha < 0.083 it also holds if single seeds or
        places of equal size vary more than others or have heavier tails (Ibragimov and Mueller
        2010, Journal of Business and Economic Statistics 28). `python -m benchmarks family_error`
        simulates unequal places too.
        """
        seeds, places = self._quantiles(alpha)
        return np.hypot(_times(seeds, self.seed_error), _times(places, self.place_error))

    def interval(self, alpha: float, limits: tuple[float, float]) -> Interval | None:
        """Return the interval of one score with confidence 1 - alpha.

        Args:
            alpha: the chance that the interval misses the truth.
            limits: the smallest and the largest possible score; the interval is clipped to them.

        Returns:
            The interval; None if there is none, see `refusal`.
        """
        if self.refusal:
            return None
        half = self.half_width(alpha)
        return Interval(*np.clip((self.mean - half, self.mean + half), *limits).tolist())

    def p_value(self) -> float:
        """The smallest alpha at which the interval of one score excludes 0; NaN without one."""
        if self.refusal:
            return np.nan
        size = abs(float(self.mean))
        least, largest = np.log(1e-12), 0.0

        def excess(log_alpha: float) -> float:
            return float(self.half_width(np.exp(log_alpha))) - size

        if size == 0 or excess(largest) >= 0:
            return 1.0
        if excess(least) <= 0:
            return float(np.exp(least))
        return float(np.exp(optimize.brentq(excess, least, largest, xtol=1e-9)))

    def detectable(self, alpha: float) -> float:
        """The smallest true value for which the interval of one score excludes 0 in 80 % of cases.

        The estimated errors are taken as medians of their distribution, because with few seeds most
        estimates are too low. NaN without an interval; infinite if no value can be detected.
        """
        if self.refusal:
            return np.nan
        if not np.isfinite(self.half_width(alpha)):
            return np.inf
        freedom = np.array([self.num_seeds - 1, float(self.effective_places) - 1])
        errors = np.array([self.seed_error, self.place_error])
        errors = errors / np.sqrt(stats.chi2.median(freedom) / freedom)
        error = float(np.linalg.norm(errors))
        if error == 0:
            return 0.0
        ranks = (np.arange(100) + 0.5) / 100
        ratios = stats.chi2.ppf(ranks[:, None], freedom) / freedom  # estimated / true variance
        seeds, places = (ratios * (np.array(self._quantiles(alpha)) * errors) ** 2).T
        half = np.sqrt(seeds[:, None] + places)

        def lacking(value: float) -> float:
            chance = special.ndtr((value - half) / error) + special.ndtr((-value - half) / error)
            return float(chance.mean()) - POWER

        return float(optimize.brentq(lacking, 0.0, float(half.max()) + 10 * error))

    def _quantiles(self, alpha: float) -> tuple[np.ndarray, np.ndarray]:
        """Student's t quantiles for seeds and for places."""
        seeds = stats.t.isf(alpha / 2, self.num_seeds - 1)
        # With fewer than 0.05 degrees of freedom the quantile is beyond any score.
        freedom = np.maximum(self.effective_places - 1, 0.05)
        return seeds, np.where(freedom > 0.05, stats.t.isf(alpha / 2, freedom), np.inf)


def estimate(confusions: np.ndarray, others: np.ndarray | None = None) -> Estimate:
    """Estimate the foreground F1 of all places, or its difference from the F1 of `others`.

    Args:
        confusions: [..., S, M, K, K] counts, one matrix a seed and place; S and M at least 1.
        others: counts of the same shape, for the same seeds and places, whose F1 is subtracted;
            None = no difference.
    """
    num_seeds, num_places = confusions.shape[-4:-2]
    whole, without_one = _f1(confusions)
    pixels = foreground_pixels(confusions).sum(axis=-3)  # [..., M, K - 1]
    if others is not None:
        other_whole, other_without_one = _f1(others)
        whole, without_one = whole - other_whole, without_one - other_without_one
        pixels = pixels + foreground_pixels(others).sum(axis=-3)
    over_seeds = without_one.mean(axis=-2)
    squares = (over_seeds - over_seeds.mean(axis=-1, keepdims=True)) ** 2
    place_error = np.sqrt((num_places - 1) / num_places * squares.sum(axis=-1))
    unknown = np.full(whole.shape[:-1], np.nan)
    return Estimate(
        mean=whole.mean(axis=-1),
        seed_error=whole.std(axis=-1, ddof=1) / np.sqrt(num_seeds) if num_seeds > 1 else unknown,
        place_error=np.where(np.isnan(place_error), np.inf, place_error),
        num_seeds=num_seeds,
        num_places=num_places,
        effective_places=_effective_number(pixels),
    )


def _f1(confusions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the F1 of all places [..., S], and the F1 without each place [..., S, M]."""
    total = confusions.sum(axis=-3)
    return foreground_f1(total), foreground_f1(total[..., None, :, :] - confusions)


def _effective_number(sizes: np.ndarray) -> np.ndarray:
    """Return Kish's effective number of sizes [..., M, C]: the smallest over the C classes."""
    squares = (sizes.astype(np.float64) ** 2).sum(axis=-2)
    total = sizes.sum(axis=-2, dtype=np.float64)
    number = np.divide(total**2, squares, out=np.full(total.shape, np.inf), where=squares > 0)
    return np.minimum(number.min(axis=-1), sizes.shape[-2])


def _times(quantile: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Multiply; an infinite quantile times an error of 0 is infinite."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(quantile), np.inf, quantile * error)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
