"""Comparison of a study's variants with a reference; it accounts for seeds and places."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from noise2map_jax.errors import UserError
from noise2map_jax.method.foreground_scores import foreground_f1, foreground_iou
from noise2map_jax.study.effect_size import PairedEffect, rank_biserial
from noise2map_jax.study.intervals import Estimate, Interval, estimate
from noise2map_jax.study.variant_scores import VariantScores, check_variants, pool_places

SIGNIFICANCE = 0.05  # the chance that any of several equal variants is declared different


@dataclasses.dataclass(frozen=True, eq=False)
class VariantSummary:
    """The scores of one variant, as fractions of 1.

    Attributes:
        name: name of the variant.
        seeds: S seeds that were trained to the end; without any, all scores are NaN.
        f1: mean over seeds of the foreground F1 of the whole split.
        f1_std: standard deviation of that F1 over seeds (ddof 1); NaN with one seed.
        iou: like `f1`, for the foreground IoU.
        iou_std: like `f1_std`, for the foreground IoU.
        estimate: `f1` with its standard errors; None without seeds.
        f1_by_seed: [S] foreground F1 of the whole split.
        f1_by_place: [M] mean over seeds of the foreground F1 of a place; NaN if the place has
            no labelled foreground.
    """

    name: str
    seeds: tuple[int, ...]
    f1: float
    f1_std: float
    iou: float
    iou_std: float
    estimate: Estimate | None
    f1_by_seed: np.ndarray
    f1_by_place: np.ndarray

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval of `f1` for this variant alone; None if there is a `refusal`."""
        return self.estimate.interval(SIGNIFICANCE, (0.0, 1.0)) if self.estimate else None

    @property
    def refusal(self) -> str:
        """Why there is no interval; empty if there is one."""
        return self.estimate.refusal if self.estimate else "no seed finished"


@dataclasses.dataclass(frozen=True, eq=False)
class Difference:
    """The difference between a variant and the reference: F1 of the variant minus F1 of the latter.

    Attributes:
        name: name of the variant.
        reference: name of the reference.
        seeds: the seeds that both have.
        estimate: mean over these seeds of the difference in F1 of the whole split, with its
            standard errors; None without seeds.
        effect: effect size over (place, seed) pairs of F1; pairs without foreground are left out.
        num_compared: number of variants compared with the reference, including this one.
        places_known: whether the dataset says which scenes share a place, see `compare`.
    """

    name: str
    reference: str
    seeds: tuple[int, ...]
    estimate: Estimate | None
    effect: PairedEffect
    num_compared: int
    places_known: bool

    @property
    def f1(self) -> float:
        """The difference in F1; NaN without seeds."""
        return float(self.estimate.mean) if self.estimate else float("nan")

    @property
    def refusal(self) -> str:
        """Why the difference has no interval; empty if it has one."""
        return self.estimate.refusal if self.estimate else "no seed finished for both"

    @property
    def alpha(self) -> float:
        """The error of each interval for which all of them hold together in 95 % of studies.

        This is Bonferroni's correction. It holds for any dependence between the differences, which
        share the reference. Equal variants, two or twelve, are declared different in about 5 % of
        studies or less, unless variation is skewed and variants differ in how much they vary
        (`python -m benchmarks family_error`).
        """
        return SIGNIFICANCE / self.num_compared

    @property
    def interval(self) -> Interval | None:
        """The interval of `f1` that decides significance; None if there is a `refusal`."""
        return self.estimate.interval(self.alpha, (-1.0, 1.0)) if self.estimate else None

    @property
    def p(self) -> float:
        """The smallest family error at which the interval excludes 0; NaN without an interval."""
        p = self.estimate.p_value() if self.estimate else float("nan")
        return float(np.minimum(p * self.num_compared, 1))

    @property
    def detectable(self) -> float:
        """The smallest true difference that 4 of 5 such studies would detect, see `Estimate`."""
        return self.estimate.detectable(self.alpha) if self.estimate else float("nan")

    @property
    def is_significant(self) -> bool:
        """Whether the data tell the two apart: the interval excludes 0."""
        return self.interval is not None and self.interval.leaves_out_zero()

    @property
    def outcome(self) -> str:
        """State in a few words what the data show, beside a table that has the numbers."""
        if self.interval is None:
            return "not compared"
        if not self.is_significant:
            return "cannot tell"
        return "worse" if self.f1 < 0 else "better"

    @property
    def verdict(self) -> str:
        """State in one sentence what the data show, and how large a difference they can show."""
        both = f"{self.name} and {self.reference}"
        if self.interval is None:
            return f"The data cannot show whether {both} differ: {self.refusal}"
        if not self.is_significant:
            sentence = f"The data cannot tell {both} apart: {self._evidence(self.interval, 1)}"
        elif self.f1 < 0:
            sentence = f"{self.name} is worse than {self.reference} by "
            sentence += self._evidence(self.interval, -1)
        else:
            sentence = f"{self.name} is better than {self.reference} by "
            sentence += self._evidence(self.interval, 1)
        return f"{sentence}; {self._power()}"

    def _evidence(self, interval: Interval, sign: int) -> str:
        """Write the difference in points of F1, times `sign`, with its interval and p."""
        assert self.estimate is not None
        low, high = sorted(sign * limit for limit in interval)
        p = "p < 0.001" if self.p < 0.001 else f"p = {self.p:.3f}"
        among = f" among {self.num_compared} comparisons" if self.num_compared > 1 else ""
        places = "places" if self.places_known else "scenes taken for places"
        return (
            f"{_points(sign * self.f1)} points of F1 (95 % interval {_points(low)} to "
            f"{_points(high)}, {p}{among}; {len(self.seeds)} seeds, "
            f"{self.estimate.num_places} {places})"
        )

    def _power(self) -> str:
        if self.detectable > 1:
            return "such a study sees no difference, however large"
        return f"4 of 5 such studies see a difference of {_points(self.detectable)} points"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The statistics of a study.

    Attributes:
        reference: name of the variant that the others are compared with.
        places: names of the M places, sorted.
        places_known: whether the dataset says which scenes share a place.
        variants: one summary for each variant, in the order given.
        differences: one for each variant other than the reference, in the order given.
    """

    reference: str
    places: tuple[str, ...]
    places_known: bool
    variants: tuple[VariantSummary, ...]
    differences: tuple[Difference, ...]

    @property
    def num_compared(self) -> int:
        """Number of differences that the intervals cover together."""
        return max(1, sum(not difference.refusal for difference in self.differences))


def compare(
    variants: Sequence[VariantScores],
    places: Sequence[str],
    reference: str,
    *,
    places_known: bool = True,
) -> Comparison:
    """Compare the variants of a study with one of them.

    Args:
        variants: variants scored on the same N records; their seeds may differ. The order of
            variants and records does not matter.
        places: N names, the place of each record. Records of one place are not independent
            observations, so their counts are added up.
        reference: name of the variant that the others are compared with.
        places_known: False if each scene counts as a place because the dataset does not say which
            scenes share one; the verdicts then say so.

    Raises:
        UserError: `check_variants` refuses the variants, or the reference is unknown or has no
            seeds.
    """
    check_variants(variants, places)
    pooled = {variant.name: pool_places(variant, places) for variant in variants}
    if reference not in pooled:
        raise UserError(
            f"there is no variant {reference!r} to compare with; expected one of "
            f"{', '.join(pooled)}"
        )
    if not pooled[reference].seeds:
        raise UserError(
            f"no seed of the reference {reference!r} finished; choose another reference of "
            + ", ".join(pooled)
        )
    others = [variant for name, variant in pooled.items() if name != reference]
    comparison = Comparison(
        reference=reference,
        places=tuple(sorted(set(places))),
        places_known=places_known,
        variants=tuple(_summarize(variant) for variant in pooled.values()),
        differences=tuple(_difference(v, pooled[reference], places_known) for v in others),
    )
    adjusted = tuple(
        dataclasses.replace(difference, num_compared=comparison.num_compared)
        for difference in comparison.differences
    )
    return dataclasses.replace(comparison, differences=adjusted)


def _summarize(variant: VariantScores) -> VariantSummary:
    confusions = variant.confusions
    num_seeds, num_places = confusions.shape[:2]
    whole = confusions.sum(axis=1)
    f1, iou = foreground_f1(whole), foreground_iou(whole)
    return VariantSummary(
        name=variant.name,
        seeds=variant.seeds,
        f1=_mean(f1),
        f1_std=_std(f1),
        iou=_mean(iou),
        iou_std=_std(iou),
        estimate=estimate(confusions) if num_seeds else None,
        f1_by_seed=f1,
        f1_by_place=foreground_f1(confusions).mean(axis=0)
        if num_seeds
        else np.full(num_places, np.nan),
    )


def _difference(variant: VariantScores, reference: VariantScores, places_known: bool) -> Difference:
    """Compare two variants as if no others were compared."""
    seeds = tuple(s for s in variant.seeds if s in reference.seeds)
    ours, theirs = variant.of_seeds(seeds), reference.of_seeds(seeds)
    return Difference(
        name=variant.name,
        reference=reference.name,
        seeds=seeds,
        estimate=estimate(ours, theirs) if seeds else None,
        effect=rank_biserial(foreground_f1(ours) - foreground_f1(theirs)),
        num_compared=1,
        places_known=places_known,
    )


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _std(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def _points(fraction: float) -> str:
    """Write a fraction in percent points, with two digits if it would else round to 0.0."""
    points = 100 * fraction
    return f"{points:.2f}" if 0.005 <= abs(points) < 0.05 else f"{points:z.1f}"
