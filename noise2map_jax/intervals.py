"""Confidence intervals of a score that varies between seeds and between scenes.

Seeds and scenes are crossed: every seed is scored on the same scenes. A score is asked for by
numbers that say how often each scene counts, so that one function gives the score of the split, of
resampled scenes and of the split without one scene.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats

CONFIDENCE = 0.95

# [R, M] how often each scene counts -> [R, S] score of each seed.
SeedScores = Callable[[np.ndarray], np.ndarray]


class Interval(NamedTuple):
    """From low to high; NaN where there is no interval."""

    low: float
    high: float

    def leaves_out_zero(self) -> bool:
        """Whether all of it is on one side of 0."""
        return self.low > 0 or self.high < 0


@dataclasses.dataclass(frozen=True)
class Intervals:
    """95 % confidence intervals of the mean over seeds of a score.

    The bootstrap alone is too narrow with few seeds or scenes: of three seeds all are on one side
    by chance in one of four cases. Student's t accounts for small numbers. So the wider counts.

    Attributes:
        bootstrap: of seeds and scenes, both resampled.
        t: the half-widths of the t intervals over seeds and over scenes (jackknife), added as
            squares (MOVER: Zou and Donner 2008, Statistics in Medicine 27); of one of them where
            there is a single seed or scene; None where there is a single one of both.
    """

    bootstrap: Interval
    t: Interval | None

    @property
    def widest(self) -> Interval:
        """The least interval that holds both."""
        lows, highs = zip(self.bootstrap, self.t or self.bootstrap, strict=True)
        return Interval(float(np.min(lows)), float(np.max(highs)))


def confidence_intervals(
    scores: SeedScores,
    num_seeds: int,
    num_scenes: int,
    *,
    limits: tuple[float, float],
    num_resamples: int,
    seed: int,
) -> Intervals:
    """Compute the intervals of the mean over seeds of a score of the whole split.

    Args:
        scores: the score of each seed by how often scenes count.
        num_seeds: S, at least 1.
        num_scenes: M, at least 1.
        limits: the least and the largest score there can be; intervals end there.
        num_resamples: of the bootstrap.
        seed: of its random numbers; the same scenes are drawn for every score.
    """

    def within(low: float, high: float) -> Interval:
        return Interval(*np.clip((low, high), *limits).tolist())

    bootstrap = bootstrap_interval(scores, *resample(num_seeds, num_scenes, num_resamples, seed))
    whole, halves = scores(np.ones((1, num_scenes)))[0], []
    if num_seeds > 1:
        halves.append(half_width_over_seeds(whole))
    if num_scenes > 1:
        halves.append(half_width_over_scenes(scores(1 - np.eye(num_scenes)).mean(axis=1)))
    mean, half = float(whole.mean()), float(np.linalg.norm(halves))
    t = within(mean - half, mean + half) if halves else None
    return Intervals(within(*bootstrap), t)


def resample(
    num_seeds: int, num_scenes: int, num_resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw how often each seed [R, S] and each scene [R, M] counts in R resamples."""
    # Two generators: scenes are drawn alike whatever the number of seeds, so that variants with
    # other seeds are still scored on the same draws.
    seed_counts, scene_counts = (
        np.random.default_rng([seed, stream]).multinomial(n, np.full(n, 1 / n), num_resamples)
        for stream, n in enumerate((num_seeds, num_scenes))
    )
    return seed_counts, scene_counts


def bootstrap_interval(
    scores: SeedScores, seed_counts: np.ndarray, scene_counts: np.ndarray
) -> Interval:
    """Percentile bootstrap interval of the mean over seeds (Efron and Tibshirani 1993, ch. 13).

    Resamples in which the score of a drawn seed is not defined (no foreground) are left out.

    Args:
        scores: the score of each seed by how often scenes count.
        seed_counts: [R, S] how often each seed was drawn.
        scene_counts: [R, M] how often each scene was drawn.
    """
    by_seed = scores(scene_counts.astype(np.float64))
    drawn = np.where(seed_counts > 0, by_seed, 0)  # a seed not drawn may be undefined
    means = (drawn * seed_counts).sum(axis=1) / seed_counts.sum(axis=1)
    means = means[~np.isnan(means)]
    if not means.size:
        return Interval(np.nan, np.nan)
    tail = (1 - CONFIDENCE) / 2
    return Interval(*np.quantile(means, (tail, 1 - tail)).tolist())


def half_width_over_seeds(values: np.ndarray) -> float:
    """Half the width of Student's t interval of the mean of [n] values, n > 1."""
    return _half_width(float(values.std(ddof=1)) / np.sqrt(len(values)), len(values))


def half_width_over_scenes(without_one: np.ndarray) -> float:
    """Half the width of Student's t interval over scenes of a score that is no mean over scenes.

    The error is that of the delete-one jackknife (Efron and Tibshirani 1993, ch. 11). Where a
    score rests on one scene, so that it is not defined without it, its error has no bounds.

    Args:
        without_one: [M] the score without each scene, M > 1.
    """
    if np.isnan(without_one).any():
        return np.inf
    num = len(without_one)
    return _half_width(float(np.sqrt((num - 1) * without_one.var())), num)


def _half_width(error: float, num: int) -> float:
    return error * float(stats.t.ppf((1 + CONFIDENCE) / 2, num - 1))
