"""Counts of the values of image bands, and statistics of these counts (pure).

Counts are whole numbers, so their sum does not depend on the order or the number of workers, and
the array of counts is as large for one tile as for a continent.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

LOW, HIGH = 1, 99  # Percentiles: values beyond them are glint, sensor noise or a single roof.


def zeros(num_bands: int, dtype: str) -> np.ndarray:
    """Return counts of zero, [C, V] int64; V is the number of values of uint8 or uint16."""
    return np.zeros((num_bands, np.iinfo(dtype).max + 1), np.int64)


def count(image: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Count the values of each band.

    Args:
      image: [H, W, C] uint8 or uint16.
      valid: [H, W] bool: which pixels count; None: all of them.

    Returns:
      [C, V] int64.
    """
    pixels = image.reshape(-1, image.shape[-1])
    if valid is not None and not valid.all():
        pixels = pixels.take(np.flatnonzero(valid), axis=0)  # Four times as fast as `[valid]`.
    num_values = np.iinfo(image.dtype).max + 1
    return np.stack([np.bincount(band, minlength=num_values) for band in pixels.T])


def to_json(counts: np.ndarray) -> list[list[list[int]]]:
    """Return, for each band, the values that occur and the number of pixels with each value."""
    occurring = [np.flatnonzero(band) for band in counts]
    return [
        [values.tolist(), band[values].tolist()]
        for values, band in zip(occurring, counts, strict=True)
    ]


def add_json(counts: np.ndarray, part: Sequence[Sequence[Sequence[int]]]) -> None:
    """Add the result of `to_json` to [C, V] counts, in place."""
    for band, (values, numbers) in zip(counts, part, strict=True):
        band[np.array(values, np.int64)] += np.array(numbers, np.int64)


def statistics(counts: np.ndarray) -> list[dict[str, Any]]:
    """Return statistics of each band, in the units of the sensor.

    Args:
      counts: [C, V] int64.

    Returns:
      For each band `mean` and `std` (of the population; whole numbers are added and divided once),
      and `low` and `high`: the smallest values that at least 1 % and 99 % of the pixels do not
      exceed (NumPy's "inverted_cdf"), so both occur. All are None if no pixel counts.
    """
    return [_of_band(band) for band in counts]


def _of_band(band: np.ndarray) -> dict[str, Any]:
    number = int(band.sum())
    if not number:
        return dict.fromkeys(("mean", "std", "low", "high"))
    values = np.flatnonzero(band)
    # Python's integers, for the sum of squares of 2^41 pixels of uint16 exceeds 64 bits.
    pairs = list(zip(values.tolist(), band[values].tolist(), strict=True))
    mean = Fraction(sum(value * times for value, times in pairs), number)
    square = Fraction(sum(value * value * times for value, times in pairs), number)
    cumulative = np.cumsum(band)
    low, high = (
        int(np.searchsorted(cumulative, -(-percent * number // 100))) for percent in (LOW, HIGH)
    )
    return {
        "mean": float(mean),
        "std": math.sqrt(square - mean * mean),
        "low": low,
        "high": high,
    }
