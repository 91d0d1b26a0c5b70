"""Means over the cells of a lattice, read by windows: memory does not grow with the scene."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from data_prep.imagery.turn import Window

_ROWS, _COLUMNS = 512, 4096  # of a window, unless a cell is larger


def cell_means(
    read: Callable[[Window], tuple[np.ndarray, np.ndarray]],
    size: tuple[int, int],
    cells: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Average what is read over cells; each pixel lies in one cell.

    Args:
        read: (row, column, height, width) -> values [h, w, C] and valid [h, w] bool.
        size: (rows, columns) of the scene.
        cells: (rows, columns) of the result; no more than those of the scene.

    Returns:
        [rows, columns, C] float32, the means of valid pixels, 0 where there is none; and
        [rows, columns] bool, whether there is one.
    """
    tops, lefts = (
        np.arange(number + 1) * length // number for length, number in zip(size, cells, strict=True)
    )
    means, known = None, np.zeros(cells, bool)
    for rows in _groups(tops, _ROWS):
        for columns in _groups(lefts, _COLUMNS):
            top, left = tops[rows.start], lefts[columns.start]
            window = (top, left, tops[rows.stop] - top, lefts[columns.stop] - left)
            values, valid = read(tuple(map(int, window)))  # type: ignore[arg-type]
            starts = tops[rows] - top, lefts[columns] - left
            sums = _sums(np.where(valid[..., None], values, 0).astype(np.float32), *starts)
            counts = _sums(valid[..., None].astype(np.float32), *starts)
            if means is None:
                means = np.zeros((*cells, sums.shape[-1]), np.float32)
            means[rows, columns] = sums / np.maximum(counts, 1)
            known[rows, columns] = counts[..., 0] > 0
    assert means is not None  # there is at least one cell
    return means, known


def _groups(edges: np.ndarray, length: int) -> Iterator[slice]:
    """Yield groups of cells that are about `length` pixels long together."""
    number = len(edges) - 1
    together = max(math.floor(length * number / edges[-1]), 1)
    for start in range(0, number, together):
        yield slice(start, min(start + together, number))


def _sums(values: np.ndarray, tops: np.ndarray, lefts: np.ndarray) -> np.ndarray:
    return np.add.reduceat(np.add.reduceat(values, tops, axis=0), lefts, axis=1)
