"""The effect size of paired differences: how often, and how clearly, one side is higher."""

from typing import NamedTuple

import numpy as np
from scipy import stats

# Rounding keeps equal F1 equal, and ties tied, if they were computed in another order.
DECIMALS = 12


class PairedEffect(NamedTuple):
    """The effect size of pairs. It is descriptive: pairs of one seed or place are not independent.

    Attributes:
        size: matched-pairs rank-biserial correlation, from -1 (all differences are negative) to 1
            (all are positive); 0 if no pair differs, NaN if there is no pair.
        num_pairs: number of pairs with a defined difference, including differences of 0.
    """

    size: float
    num_pairs: int


def rank_biserial(differences: np.ndarray) -> PairedEffect:
    """Compute the matched-pairs rank-biserial correlation.

    It is (sum of ranks of positive differences - sum of ranks of negative ones) / sum of all ranks;
    differences of 0 have no rank (Kerby 2014, The simple difference formula, Comprehensive
    Psychology 3).

    Args:
        differences: any shape; NaN for pairs to leave out because they are not defined.
    """
    defined = np.round(differences[~np.isnan(differences)], DECIMALS)
    nonzero = defined[defined != 0]
    if not nonzero.size:
        return PairedEffect(0.0 if len(defined) else float("nan"), len(defined))
    ranks = stats.rankdata(np.abs(nonzero))
    return PairedEffect(float((ranks * np.sign(nonzero)).sum() / ranks.sum()), len(defined))
