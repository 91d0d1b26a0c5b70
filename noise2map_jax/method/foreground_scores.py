"""Foreground scores of many confusion matrices at once.

Where no foreground is labelled, no foreground score is defined, whatever is predicted: the formula
of F1 would give 0 to a network with one false pixel and nothing to one that makes no mistake.
"""

import numpy as np


def foreground_f1(confusions: np.ndarray) -> np.ndarray:
    """Compute the mean F1 of the foreground classes of many matrices.

    Args:
        confusions: [..., K, K] counts; row = label, column = prediction.

    Returns:
        [...] float64, as fractions of 1, like `f1/foreground` of `metrics.summary`. Classes in
        neither labels nor predictions are left out; NaN if no foreground is labelled.
    """
    means = _mean_of_defined(_class_f1(confusions))
    return np.where(has_labelled_foreground(confusions), means, np.nan)


def foreground_iou(confusions: np.ndarray) -> np.ndarray:
    """Compute the mean IoU of the foreground classes; arguments as in `foreground_f1`."""
    f1 = _class_f1(confusions)
    means = _mean_of_defined(f1 / (2 - f1))
    return np.where(has_labelled_foreground(confusions), means, np.nan)


def has_labelled_foreground(confusions: np.ndarray) -> np.ndarray:
    """Whether the labels hold any class but the first, [...] bool; arguments as above."""
    return np.asarray(confusions)[..., 1:, :].sum(axis=(-2, -1)) > 0


def foreground_pixels(confusions: np.ndarray) -> np.ndarray:
    """Add up labelled and predicted pixels of each foreground class: the denominator of F1.

    Args:
        confusions: [..., K, K] counts.

    Returns:
        [..., K - 1] of the same type.
    """
    return confusions.sum(axis=-2)[..., 1:] + confusions.sum(axis=-1)[..., 1:]


def _class_f1(confusions: np.ndarray) -> np.ndarray:
    """Compute the F1 of each foreground class, [..., K - 1]."""
    counts = np.asarray(confusions, np.float64)
    tp = np.diagonal(counts, axis1=-2, axis2=-1)[..., 1:]
    total = foreground_pixels(counts)
    return np.divide(2 * tp, total, out=np.full(tp.shape, np.nan), where=total > 0)


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Average the last axis without NaN; NaN if nothing else remains."""
    defined = ~np.isnan(values)
    count = defined.sum(axis=-1)
    total = np.where(defined, values, 0).sum(axis=-1)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
