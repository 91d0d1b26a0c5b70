"""The effect size of paired differences: how often, and how clearly, one of the two is higher."""

from typing import NamedTuple

import numpy as np
from scipy import stats

# Differences of equal F1 that were computed in another order are 0, and ties are ties.
DECIMALS = 12


class PairedEffect(NamedTuple):
    """How pairs differ. It describes them: pairs of one seed or place are not independent.

    Attributes:
        size: matched-pairs rank-biserial correlation, from -1, all differences are negative, to
            1, all are positive; 0 where no pair differs.
        num_pairs: with a difference that is defined, 0 included.
    """

    size: float
    num_pairs: int


def rank_biserial(differences: np.ndarray) -> PairedEffect:
    """Compute the matched-pairs rank-biserial correlation.

    The sum of ranks of positive differences less that of negative ones, over the sum of all; pairs
    without a difference have no rank (Kerby 2014, The simple difference formula, Comprehensive
    Psychology 3).

    Args:
        differences: any shape; NaN where a pair is not defined, which leaves it out.
    """
    defined = np.round(differences[~np.isnan(differences)], DECIMALS)
    nonzero = defined[defined != 0]
    if not nonzero.size:
        return PairedEffect(0.0, len(defined))
    ranks = stats.rankdata(np.abs(nonzero))
    return PairedEffect(float((ranks * np.sign(nonzero)).sum() / ranks.sum()), len(defined))
