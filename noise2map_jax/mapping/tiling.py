"""Tiles that cover a scene, and the weights by which they are blended (pure).

A network sees nothing beyond the edge of its tile, so its predictions are worst there. A strip of
`margin` pixels on each side of a tile is not used at all. What is left of two neighbours overlaps
by `overlap` pixels, over which the weight of one falls as that of the other rises (a raised cosine,
whose slope is zero at both ends): neither a step nor a kink shows where they meet.
"""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from noise2map_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Tiling:
    """The geometry of tiles, the same along rows and columns.

    Attributes:
        tile_size: S, side of a tile in pixels.
        margin: width in pixels of the strip at each edge of a tile that is not used.
        overlap: pixels that the used parts of two neighbouring tiles share.
    """

    tile_size: int
    margin: int
    overlap: int

    def __post_init__(self) -> None:
        if self.margin < 0 or self.overlap < 0:
            raise UserError(
                f"margin is {self.margin} and overlap {self.overlap}; expected 0 or more pixels"
            )
        if self.used < 1:
            raise UserError(
                f"margin is {self.margin}: nothing of a tile of {self.tile_size} pixels is used;"
                f" choose at most {(self.tile_size - 1) // 2}, or a larger tile_size"
            )
        if 2 * self.overlap > self.used:
            raise UserError(
                f"margin is {self.margin} and overlap {self.overlap}: of a tile of"
                f" {self.tile_size} pixels {self.used} are used, and at most half of them may"
                " overlap; choose smaller ones, or a larger tile_size"
            )

    @property
    def used(self) -> int:
        """Side of the used part of a tile, in pixels."""
        return self.tile_size - 2 * self.margin

    @property
    def stride(self) -> int:
        """Pixels from one tile to the next."""
        return self.used - self.overlap

    @property
    def share_computed_twice(self) -> float:
        """Pixels that the network computes beyond one a pixel of a large scene, as a share."""
        return (self.tile_size / self.stride) ** 2 - 1

    def number(self, length: int) -> int:
        """Return how many tiles cover `length` pixels."""
        return 1 if length <= self.used else math.ceil((length - self.overlap) / self.stride)

    def offset(self, index: int) -> int:
        """Return the first pixel of a tile; it may lie before the scene."""
        return index * self.stride - self.margin

    def weights(self, index: int, number: int) -> np.ndarray:
        """Return the weights of a tile's pixels along one axis.

        Args:
            index: number of the tile, from 0.
            number: how many tiles there are.

        Returns:
            [S] float32. The weights of all tiles sum to 1 at each pixel of the scene.
        """
        weights = np.ones(self.used)
        ramp = np.sin(np.pi / 2 * (np.arange(self.overlap) + 0.5) / max(self.overlap, 1)) ** 2
        if index > 0:
            weights[: self.overlap] = ramp
        if index < number - 1:
            weights[self.used - self.overlap :] = ramp[::-1]
        return np.pad(weights, self.margin).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Region:
    """A rectangle of a scene that is mapped by itself, to the same values as within the whole.

    Attributes:
        tile_rows: numbers of the rows of tiles that its pixels need.
        tile_columns: numbers of the columns of tiles.
        rows: its first row in pixels, and the row after its last.
        columns: its first column in pixels, and the column after its last.
    """

    tile_rows: range
    tile_columns: range
    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def num_pixels(self) -> int:
        """Number of its pixels."""
        return (self.rows[1] - self.rows[0]) * (self.columns[1] - self.columns[0])


def panels(
    tiling: Tiling, height: int, width: int, *, greatest_width: int, part: int = 0, parts: int = 1
) -> Iterator[Region]:
    """Cut a scene into columns of a bounded width, so that memory does not grow with the scene.

    Args:
        tiling: the tiles.
        height: rows of the scene.
        width: columns of the scene.
        greatest_width: pixels that a panel is wide at most; at least one tile.
        part: which of `parts` to return, from 0.
        parts: horizontal bands that the scene is divided into, one for each of several processes.
    """
    num_rows, num_columns = tiling.number(height), tiling.number(width)
    cuts = [num_rows * i // parts for i in range(parts + 1)]
    tile_rows, rows = _extent(tiling, height, num_rows, cuts[part], cuts[part + 1])
    wide = max(greatest_width // tiling.stride, 1)
    if not tile_rows:
        return
    for first in range(0, num_columns, wide):
        last = min(first + wide, num_columns)
        tile_columns, columns = _extent(tiling, width, num_columns, first, last)
        yield Region(tile_rows, tile_columns, rows, columns)


def _extent(
    tiling: Tiling, length: int, number: int, first: int, last: int
) -> tuple[range, tuple[int, int]]:
    """Return the tiles that pixels between the starts of two tiles need, and these pixels."""
    end = length if last == number else min(last * tiling.stride, length)
    # The tile before reaches into the first of them.
    return range(max(first - 1, 0) if last > first else last, last), (first * tiling.stride, end)
