"""How the probabilities of a split agree with its labels."""

import dataclasses

import numpy as np

NUM_GROUPS = 20  # of a reliability diagram


@dataclasses.dataclass(frozen=True)
class Reliability:
    """What share of the pixels is foreground, by the probability that was predicted for them.

    Attributes:
        predicted: [G] float64, mean predicted probability of each group of pixels.
        found: [G] float64, share of foreground in each group.
        pixels: [G] int64, number of pixels. Where it is 0, the others are NaN.
    """

    predicted: np.ndarray
    found: np.ndarray
    pixels: np.ndarray

    @property
    def curve(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The three attributes, to be drawn."""
        return self.predicted, self.found, self.pixels

    @property
    def error(self) -> float:
        """Expected calibration error (Naeini et al. 2015): mean |predicted - found| over pixels."""
        if not self.pixels.any():
            return float("nan")
        return float(np.nansum(self.pixels * abs(self.predicted - self.found)) / self.pixels.sum())


@dataclasses.dataclass(frozen=True)
class ProbabilityHistogram:
    """Pixels of a split by label and foreground probability.

    Attributes:
        counts: [2, bins] int64: pixels of class 0, and pixels of other classes; the probabilities
            of bin k begin at k / bins.
    """

    counts: np.ndarray

    def f1(self) -> np.ndarray:
        """Return [bins] float64, the F1 of foreground against class 0 where p >= k / bins.

        NaN if no pixel is foreground. For two classes that is the foreground F1.
        """
        background, foreground = self.counts.astype(float)
        found = foreground[::-1].cumsum()[::-1]
        false = background[::-1].cumsum()[::-1]
        labelled = foreground.sum()
        if not labelled:
            return np.full(len(found), np.nan)
        return 2 * found / (found + false + labelled)

    def f1_at(self, threshold: float) -> float:
        """Return F1 where p >= threshold, a multiple of 1 / bins: that of `best`."""
        return float(self.f1()[round(threshold * self.counts.shape[1])])

    def best(self) -> tuple[float, float]:
        """Return the threshold of the highest F1, and that F1.

        Of several equally good ones, the middle: with few pixels many thresholds are alike. NaN if
        no pixel is foreground.
        """
        scores = self.f1()[1:]  # at 0 all is foreground
        if np.isnan(scores).all():
            return float("nan"), float("nan")
        alike = np.flatnonzero(scores == scores.max())
        return float(alike[len(alike) // 2] + 1) / len(self.counts[0]), float(scores.max())

    def reliability(self, num_groups: int = NUM_GROUPS) -> Reliability:
        """Group pixels by probability; a pixel has that of its bin's middle.

        Args:
            num_groups: G, groups of equal width; it divides the number of bins.
        """
        bins = self.counts.shape[1]
        middles = (np.arange(bins) + 0.5) / bins
        grouped = self.counts.reshape(2, num_groups, -1)
        pixels = grouped.sum(axis=(0, 2))
        mass = (self.counts.sum(axis=0) * middles).reshape(num_groups, -1).sum(axis=1)
        with np.errstate(invalid="ignore"):
            return Reliability(mass / pixels, grouped[1].sum(axis=1) / pixels, pixels)
