"""The rank of scores as the paper gives it: by F1, ties by IoU."""

import math
from collections.abc import Sequence


def order(f1: float, iou: float) -> tuple[float, float]:
    """Return F1 and IoU (in percent) as they are printed, so that equal prints are ties."""
    return round(f1, 2), round(iou, 2)


def ranks(scores: Sequence[tuple[float, float]]) -> list[int | None]:
    """Rank scores from 1; those that print alike share a rank, and the ranks after it are left out.

    Args:
        scores: F1 and IoU in percent of each; NaN = none; without an IoU, last in a tie.

    Returns:
        The rank of each, in the order given; None where F1 is NaN.
    """
    orders = [
        None if math.isnan(f1) else order(f1, -1.0 if math.isnan(iou) else iou)
        for f1, iou in scores
    ]
    best_first = sorted((own for own in orders if own), reverse=True)
    return [best_first.index(own) + 1 if own else None for own in orders]
