"""Comparing the variants of a study with a reference, seeds and scenes accounted for."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from noise2map_jax.errors import UserError
from noise2map_jax.intervals import Interval, Intervals, confidence_intervals
from noise2map_jax.significance import SignedRanks, holm, signed_ranks
from noise2map_jax.variant_scores import (
    VariantScores,
    check_variants,
    foreground_f1,
    foreground_iou,
    pool_scenes,
)

SIGNIFICANCE = 0.05


@dataclasses.dataclass(frozen=True, eq=False)
class VariantSummary:
    """The scores of one variant, as fractions of 1.

    Attributes:
        name: of the variant.
        seeds: S seeds that were trained to the end; may be none, then all scores are NaN.
        f1: mean over seeds of the foreground F1 of the whole split.
        f1_std: standard deviation of the same over seeds (ddof 1); NaN with one seed.
        iou: as `f1`, of the foreground IoU.
        iou_std: as `f1_std`.
        intervals: 95 % confidence intervals of `f1`; None without seeds.
        f1_by_seed: [S] foreground F1 of the whole split.
        f1_by_scene: [M] mean over seeds of the foreground F1 of a scene; NaN where it has no
            foreground, neither in truth nor predicted, for some seed.
    """

    name: str
    seeds: tuple[int, ...]
    f1: float
    f1_std: float
    iou: float
    iou_std: float
    intervals: Intervals | None
    f1_by_seed: np.ndarray
    f1_by_scene: np.ndarray

    @property
    def interval(self) -> Interval:
        """The interval of `f1` to report, see `Intervals.widest`."""
        return self.intervals.widest if self.intervals else Interval(np.nan, np.nan)


@dataclasses.dataclass(frozen=True)
class Difference:
    """How a variant differs from the reference: F1 of the variant less F1 of the reference.

    Attributes:
        name: of the variant.
        reference: its name.
        seeds: those that both have; with none, all numbers are NaN.
        num_scenes: M.
        f1: mean over these seeds of the difference of the F1 of the whole split.
        intervals: 95 % confidence intervals of `f1`; None without seeds.
        test: Wilcoxon's over (scene, seed) pairs of F1; pairs without foreground are left out.
        p_holm: its p, adjusted by Holm for all variants that were compared.
        num_compared: how many those are.
    """

    name: str
    reference: str
    seeds: tuple[int, ...]
    num_scenes: int
    f1: float
    intervals: Intervals | None
    test: SignedRanks
    p_holm: float
    num_compared: int

    @property
    def interval(self) -> Interval:
        """The interval of `f1` that the verdict goes by, see `Intervals.widest`."""
        return self.intervals.widest if self.intervals else Interval(np.nan, np.nan)

    @property
    def is_significant(self) -> bool:
        """Whether the data tell the two apart.

        Wilcoxon's test alone would be too sure: pairs of one seed share the luck of that seed, and
        pairs of one scene its peculiarities, so that they are not as many observations as there
        are pairs. So the interval, which is over seeds and scenes, must leave out 0 as well, and
        the F1 of the split must differ in the same direction as the ranks of the pairs. With one
        seed or one scene its share of the variation cannot be known, and the verdict says so.

        Two equal variants are then called different in at most about 5 % of studies, however much
        seeds and scenes vary (`tests/simulated_studies.py`; by Wilcoxon's test alone in up to
        76 %). That holds for each variant by itself: p is adjusted for their number, the interval
        is not, and of four variants that equal the reference one is called different in up to 16 %.
        """
        return bool(
            self.p_holm < SIGNIFICANCE
            and self.interval.leaves_out_zero()
            and np.sign(self.f1) == np.sign(self.test.effect)
        )

    @property
    def verdict(self) -> str:
        """Say in one sentence what the data tell."""
        both = f"{self.name} and {self.reference}"
        if not self.seeds:
            return f"{both} cannot be compared: no seed finished for both"
        if np.isnan(self.f1):
            return f"{both} cannot be compared: without foreground F1 is not defined for some seed"
        if not self.is_significant:
            sentence = f"The data cannot tell {both} apart: {self._evidence(1)}"
        elif self.f1 < 0:
            sentence = f"{self.name} is worse than {self.reference} by {self._evidence(-1)}"
        else:
            sentence = f"{self.name} is better than {self.reference} by {self._evidence(1)}"
        numbers = {"seed": len(self.seeds), "scene": self.num_scenes}
        return sentence + "".join(
            f"; with one {name}, differences between {name}s are not accounted for"
            for name, number in numbers.items()
            if number == 1
        )

    def _evidence(self, sign: int) -> str:
        """The difference in points of F1, or minus that, and how sure it is."""
        low, high = sorted(sign * limit for limit in self.interval)
        p = "p < 0.001" if self.p_holm < 0.001 else f"p = {self.p_holm:.3f}"
        adjusted = " after Holm" if self.num_compared > 1 else ""
        return (
            f"{_points(sign * self.f1)} points of F1 (95 % interval {_points(low)} to "
            f"{_points(high)}; {p}{adjusted}, {self.test.num_pairs} pairs)"
        )


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The statistics of a study.

    Attributes:
        reference: name of the variant that the others are compared with.
        scenes: M names, sorted.
        variants: one a variant, in the order given.
        differences: one a variant but the reference, in the order given.
    """

    reference: str
    scenes: tuple[str, ...]
    variants: tuple[VariantSummary, ...]
    differences: tuple[Difference, ...]


def compare(
    variants: Sequence[VariantScores],
    scenes: Sequence[str],
    reference: str,
    *,
    num_resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare the variants of a study with one of them.

    Args:
        variants: scored on the same N records; they may have different seeds.
        scenes: N names, the scene of each record: records of one scene are no independent
            observations, and their counts are added up.
        reference: name of the variant that the others are compared with.
        num_resamples: of the bootstrap.
        seed: of its random numbers; the order of variants and records does not matter.

    Raises:
        UserError: what `check_variants` names; the reference is unknown or has no seeds; no
            resamples.
    """
    check_variants(variants, scenes)
    if num_resamples < 1:
        raise UserError(f"the bootstrap has {num_resamples} resamples; expected at least 1")
    pooled = {variant.name: pool_scenes(variant, scenes) for variant in variants}
    if reference not in pooled:
        raise UserError(
            f"there is no variant {reference!r} to compare with; see {', '.join(pooled)}"
        )
    if not pooled[reference].seeds:
        raise UserError(
            f"no seed of the reference {reference!r} finished; choose another of "
            + ", ".join(pooled)
        )
    return Comparison(
        reference=reference,
        scenes=tuple(sorted(set(scenes))),
        variants=tuple(_summarize(v, num_resamples, seed) for v in pooled.values()),
        differences=_differences(pooled, reference, num_resamples, seed),
    )


def _summarize(variant: VariantScores, num_resamples: int, seed: int) -> VariantSummary:
    confusions = variant.confusions
    num_seeds, num_scenes = confusions.shape[:2]
    whole = confusions.sum(axis=1)
    f1, iou = foreground_f1(whole), foreground_iou(whole)
    return VariantSummary(
        name=variant.name,
        seeds=variant.seeds,
        f1=_mean(f1),
        f1_std=_std(f1),
        iou=_mean(iou),
        iou_std=_std(iou),
        intervals=confidence_intervals(
            lambda counts: _f1_by_seed(confusions, counts),
            num_seeds,
            num_scenes,
            limits=(0.0, 1.0),
            num_resamples=num_resamples,
            seed=seed,
        )
        if num_seeds
        else None,
        f1_by_seed=f1,
        f1_by_scene=foreground_f1(confusions).mean(axis=0)
        if num_seeds
        else np.full(num_scenes, np.nan),
    )


def _differences(
    variants: dict[str, VariantScores], reference: str, num_resamples: int, seed: int
) -> tuple[Difference, ...]:
    others = [v for v in variants.values() if v.name != reference]
    found = [_difference(v, variants[reference], num_resamples, seed) for v in others]
    compared = [d for d in found if d.seeds]
    adjusted = iter(holm([d.test.p for d in compared]))
    return tuple(
        dataclasses.replace(d, p_holm=next(adjusted), num_compared=len(compared)) if d.seeds else d
        for d in found
    )


def _difference(
    variant: VariantScores, reference: VariantScores, num_resamples: int, seed: int
) -> Difference:
    """Compare two variants, p not adjusted yet."""
    seeds = tuple(s for s in variant.seeds if s in reference.seeds)
    ours, theirs = variant.of_seeds(seeds), reference.of_seeds(seeds)
    num_scenes = ours.shape[1]

    def scores(counts: np.ndarray) -> np.ndarray:
        return _f1_by_seed(ours, counts) - _f1_by_seed(theirs, counts)

    test = signed_ranks(foreground_f1(ours) - foreground_f1(theirs))
    return Difference(
        name=variant.name,
        reference=reference.name,
        seeds=seeds,
        num_scenes=num_scenes,
        f1=_mean(scores(np.ones((1, num_scenes)))[0]),
        intervals=confidence_intervals(
            scores,
            len(seeds),
            num_scenes,
            limits=(-1.0, 1.0),
            num_resamples=num_resamples,
            seed=seed,
        )
        if seeds
        else None,
        test=test,
        p_holm=test.p,
        num_compared=1,
    )


def _f1_by_seed(confusions: np.ndarray, scene_counts: np.ndarray) -> np.ndarray:
    """F1 of each seed where scenes count [R, M] times: [S, M, K, K] -> [R, S]."""
    return foreground_f1(np.tensordot(scene_counts, confusions.astype(np.float64), axes=(1, 1)))


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _std(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def _points(fraction: float) -> str:
    """Write a fraction in percent points; a small one so that it does not look like 0."""
    points = 100 * fraction
    return f"{points:.2f}" if 0.005 <= abs(points) < 0.05 else f"{points:z.1f}"
