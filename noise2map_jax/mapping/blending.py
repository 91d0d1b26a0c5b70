"""Sums the weighted values of tiles, and gives out rows of a scene once they are complete."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from noise2map_jax.mapping.tiling import Region, Tiling


class Strip(NamedTuple):
    """Complete rows of a region.

    Attributes:
        row: first row in the scene, in pixels.
        column: first column in the scene.
        values: [h, w, C] float32, blended; anything where not `valid`.
        valid: [h, w] bool, True for pixels that hold data in all images.
    """

    row: int
    column: int
    values: np.ndarray
    valid: np.ndarray


class Blend:
    """Blends the tiles of a region, which come row by row of tiles.

    It holds one row of tiles: memory does not grow with the number of rows.
    """

    def __init__(self, tiling: Tiling, region: Region, height: int, width: int, num_values: int):
        """Begin a region.

        Args:
            tiling: the tiles.
            region: the part of the scene.
            height: rows of the scene.
            width: columns of the scene.
            num_values: C, values of a pixel.
        """
        self._tiling, self._region = tiling, region
        self._numbers = tiling.number(height), tiling.number(width)
        self._width = region.columns[1] - region.columns[0]
        self._sums = np.zeros((tiling.used, self._width, num_values), np.float32)
        self._valid = np.zeros((tiling.used, self._width), bool)
        self._row = region.tile_rows.start

    def begin_row(self, row: int, valid: np.ndarray) -> Iterator[Strip]:
        """Begin a row of tiles, and give out the rows of pixels that it leaves complete.

        Args:
            row: number of the row of tiles; every row is begun, also one without values.
            valid: [U, W] bool, which pixels of the used rows hold data; U = `tiling.used`, W = the
                region's width; [1, 1] for all alike.
        """
        if row > self._row:
            yield from self._complete(self._tiling.stride)
            self._row = row
        self._valid[:] = valid

    def add(self, column: int, values: np.ndarray) -> None:
        """Add the values [S, S, C] of a tile of the row that was begun."""
        tiling, (first, end) = self._tiling, self._region.columns
        weights = (
            tiling.weights(self._row, self._numbers[0])[:, None]
            * tiling.weights(column, self._numbers[1])[None]
        )
        inner = slice(tiling.margin, tiling.margin + tiling.used)
        weighted = (values * weights[..., None])[inner, inner]
        left = column * tiling.stride - first
        start, stop = max(left, 0), min(left + tiling.used, end - first)
        if start < stop:
            self._sums[:, start:stop] += weighted[:, start - left : stop - left]

    def finish(self) -> Iterator[Strip]:
        """Give out the last rows of the region."""
        yield from self._complete(self._tiling.used)

    def _complete(self, number: int) -> Iterator[Strip]:
        first = self._row * self._tiling.stride
        start = max(self._region.rows[0], first)
        stop = min(self._region.rows[1], first + number)
        if start < stop:
            rows = slice(start - first, stop - first)
            yield Strip(
                start, self._region.columns[0], self._sums[rows].copy(), self._valid[rows].copy()
            )
        kept = self._tiling.used - number
        self._sums[:kept] = self._sums[number:].copy()
        self._sums[kept:] = 0
