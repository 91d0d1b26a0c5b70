"""Tests of paired differences: Wilcoxon's signed ranks, their effect size, Holm's correction."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

# Differences of equal F1 that were computed in another order are 0, and ties are ties.
DECIMALS = 12


class SignedRanks(NamedTuple):
    """The outcome of Wilcoxon's test.

    Attributes:
        p: two-sided; 1 where no pair differs.
        effect: matched-pairs rank-biserial correlation, in [-1, 1]; 0 where no pair differs.
        num_pairs: with a difference that is defined, 0 included.
    """

    p: float
    effect: float
    num_pairs: int


def signed_ranks(differences: np.ndarray) -> SignedRanks:
    """Test whether paired differences lie around 0.

    Args:
        differences: any shape; NaN where a pair is not defined, which leaves it out.
    """
    defined = np.round(differences[~np.isnan(differences)], DECIMALS)
    nonzero = defined[defined != 0]
    if not nonzero.size:
        return SignedRanks(1.0, 0.0, len(defined))
    p = float(stats.wilcoxon(nonzero).pvalue)
    return SignedRanks(p, rank_biserial(nonzero), len(defined))


def rank_biserial(differences: np.ndarray) -> float:
    """Matched-pairs rank-biserial correlation: the effect size of Wilcoxon's signed-rank test.

    The sum of ranks of positive differences less that of negative ones, over the sum of all
    (Kerby 2014, The simple difference formula, Comprehensive Psychology 3).

    Args:
        differences: [n], none of them 0, n > 0.

    Returns:
        From -1, all are negative, to 1, all are positive.
    """
    ranks = stats.rankdata(np.abs(differences))
    return float((ranks * np.sign(differences)).sum() / ranks.sum())


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for their number (Holm 1979, Scandinavian Journal of Statistics 6).

    The k-th smallest of m is multiplied by m - k + 1; none gets less than a smaller one, or more
    than 1. Rejecting what is below 0.05 then errs in at most 5 % of families of tests.

    Args:
        p_values: of one family of tests.

    Returns:
        The adjusted values in the same order.
    """
    raw = np.asarray(p_values, np.float64)
    order = np.argsort(raw, kind="stable")
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1)), 1)
    return adjusted.tolist()
