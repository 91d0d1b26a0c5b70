"""Joins the tiles of a scene to its images again, without what lies beyond its edges (pure)."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from data_prep.basics.dataset import IGNORE
from data_prep.imagery.edges import mirrored


def assembled(
    positions: Sequence[tuple[int, int]],
    tiles: Sequence[Mapping[str, np.ndarray]],
    images: Sequence[str],
) -> Iterator[np.ndarray]:
    """Join the tiles of a scene; yield its images [H, W, C] without the padding.

    Padding is ignored by the mask, and holds the mirrored image; in datasets that earlier versions
    built it is black.

    Args:
      positions: (row, column) of the top-left pixel of each tile.
      tiles: The records of the scene, in the same order.
      images: Names of the images in a record.
    """
    size = tiles[0]["mask"].shape[0]
    rows, columns = (max(position) + size for position in zip(*positions, strict=True))

    def whole(name: str) -> np.ndarray:
        first = tiles[0][name]
        array = np.zeros((rows, columns, first.shape[-1]), first.dtype)
        for (row, column), tile in zip(positions, tiles, strict=True):
            array[row : row + size, column : column + size] = tile[name]
        return array

    arrays = [whole(name) for name in images]
    counts = (whole("mask") != IGNORE).any(-1)
    height = _end(arrays, counts, size)
    width = _end([array.swapaxes(0, 1) for array in arrays], counts.T, size)
    yield from (array[:height, :width] for array in arrays)


def _end(arrays: Sequence[np.ndarray], counts: np.ndarray, size: int) -> int:
    """Return the number of the first row that is padding in all arrays, as all after it are."""
    total = len(counts)
    labelled = np.flatnonzero(counts.any(1))
    # The last tile holds at least one row of the image.
    first = max(total - size, labelled[-1] if len(labelled) else 0) + 1
    black = [_black_from(array) for array in arrays]

    def is_padded(end: int) -> bool:
        pairs = zip(arrays, black, strict=True)
        return all(end >= row or _is_mirrored(array, end) for array, row in pairs)

    return next(filter(is_padded, range(first, total)), total)


def _black_from(array: np.ndarray) -> int:
    """Return the number of the first row from which on all are black."""
    rows = np.flatnonzero(array.any((1, 2)))
    return int(rows[-1]) + 1 if len(rows) else 0


def _is_mirrored(array: np.ndarray, end: int) -> bool:
    """Whether the rows from `end` on are those before it, mirrored."""
    beyond, source = array[end:], mirrored(end, len(array) - end, end)
    # The first row alone tells nearly always.
    return np.array_equal(beyond[0], array[source[0]]) and np.array_equal(beyond, array[source])
