"""Scores from confusion matrices, which the device counts and the host adds and divides once."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from noise2map_jax.method.foreground_scores import foreground_f1
from noise2map_jax.method.losses import IGNORE


def confusion_matrices(predictions: jax.Array, labels: jax.Array, num_classes: int) -> jax.Array:
    """Count pairs of label and prediction, in one matrix for each image.

    Args:
        predictions: [B, H, W] int class indices.
        labels: [B, H, W] uint8 or int class indices, 255 = ignore.
        num_classes: K.

    Returns:
        [B, K, K] int32; row = label, column = prediction; ignored pixels are not counted.

    Raises:
        AssertionError: other shapes, which would broadcast: labels [B, H, W, 1].
    """
    chex.assert_rank(predictions, 3)
    chex.assert_equal_shape([predictions, labels])
    valid = labels != IGNORE
    # Counting booleans for each pair of classes needs no scatter and is fast on every backend.
    is_label = jnp.stack([(labels == k) & valid for k in range(num_classes)], axis=1)
    is_predicted = jnp.stack([predictions == k for k in range(num_classes)], axis=1)
    return jnp.stack(
        [
            jnp.stack(
                [
                    jnp.sum(is_label[:, i] & is_predicted[:, j], axis=(1, 2), dtype=jnp.int32)
                    for j in range(num_classes)
                ],
                axis=-1,
            )
            for i in range(num_classes)
        ],
        axis=1,
    )


class Scores(NamedTuple):
    """Scores of a confusion matrix; a score with denominator 0 is NaN."""

    f1: np.ndarray  # [K]
    iou: np.ndarray  # [K]
    precision: np.ndarray  # [K]
    recall: np.ndarray  # [K]
    accuracy: float


def scores(confusion: np.ndarray) -> Scores:
    """Compute F1, IoU, precision and recall of each class, and the accuracy.

    With the counts of a class (true positives tp, false positives fp, false negatives fn):
    F1 = 2 tp / (2 tp + fp + fn), IoU = tp / (tp + fp + fn).

    Args:
        confusion: [K, K] integer; row = label, column = prediction.

    Returns:
        The scores, as fractions of 1.

    Raises:
        AssertionError: not one square matrix; those of several images are added first.
    """
    counts = np.asarray(confusion, np.float64)
    chex.assert_shape(counts, 2 * counts.shape[:1])
    tp = np.diagonal(counts)
    fp = counts.sum(axis=0) - tp
    fn = counts.sum(axis=1) - tp
    return Scores(
        f1=_ratio(2 * tp, 2 * tp + fp + fn),
        iou=_ratio(tp, tp + fp + fn),
        precision=_ratio(tp, tp + fp),
        recall=_ratio(tp, tp + fn),
        accuracy=float(_ratio(np.asarray(tp.sum()), np.asarray(counts.sum()))),
    )


def summary(confusion: np.ndarray, classes: tuple[str, ...]) -> dict[str, float]:
    """Name the scores of a confusion matrix.

    Args:
        confusion: [K, K] integer; row = label, column = prediction.
        classes: names of the K classes; the first is background, all others are foreground.

    Returns:
        `f1/<key>`, `iou/<key>`, `precision/<key>`, `recall/<key>` of each class, whose key is its
        name, see `class_keys`; `<metric>/mean` over the classes, `f1/foreground` (the mean F1 of
        all classes except the first) and `accuracy`. Means leave out classes that are neither
        labelled nor predicted, whose scores are NaN. `f1/foreground` is not defined (NaN) where no
        foreground is labelled,
        see `foreground_scores`.
    """
    result, foreground = scores(confusion), float(foreground_f1(confusion))
    named: dict[str, float] = {"f1/foreground": foreground}
    keys = class_keys(classes)
    for metric in ("f1", "iou", "precision", "recall"):
        values = getattr(result, metric)
        named |= {f"{metric}/{key}": float(v) for key, v in zip(keys, values, strict=True)}
        named[f"{metric}/mean"] = _mean(values)
    # Once more: the one foreground class may be called so.
    return named | {"f1/foreground": foreground, "accuracy": result.accuracy}


def class_keys(classes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the keys of classes among scores: their names, but those that mean all classes.

    Where there is one foreground class, it may be called "foreground".
    """
    taken = ("mean", "foreground") if len(classes) > 2 else ("mean",)
    return tuple(f"{name} (class)" if name in taken else name for name in classes)


def _mean(values: np.ndarray) -> float:
    """Average over the classes that occur."""
    return float(np.mean(values[~np.isnan(values)])) if not np.isnan(values).all() else float("nan")


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    numerator, denominator = np.asarray(numerator), np.asarray(denominator)
    out = np.full(numerator.shape, np.nan)
    return np.divide(numerator, denominator, out=out, where=denominator > 0)
