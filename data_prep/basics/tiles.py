"""Cutting scenes into square tiles (pure)."""

from collections.abc import Iterator

import numpy as np


def offsets(height: int, width: int, tile_size: int) -> Iterator[tuple[int, int]]:
    """Yield the (row, column) of the top-left pixel of each tile, row by row.

    Every pixel of the scene lies in exactly one tile; tiles at the lower and right edges may reach
    beyond the scene.
    """
    for row in range(0, height, tile_size):
        for column in range(0, width, tile_size):
            yield row, column


def count(height: int, width: int, tile_size: int) -> int:
    """Return the number of tiles of a scene of `height` x `width` pixels."""
    return -(-height // tile_size) * -(-width // tile_size)


def cut(array: np.ndarray, row: int, column: int, tile_size: int, fill: int) -> np.ndarray:
    """Cut one tile out of a scene; pixels outside the scene get the value `fill`.

    Args:
      array: The scene, [H, W, C].
      row: First row of the tile.
      column: First column of the tile.
      tile_size: Side of the tile in pixels.
      fill: Value of the padding, such as 255 (ignore) for masks.

    Returns:
      The tile, [tile_size, tile_size, C], contiguous.
    """
    tile = array[row : row + tile_size, column : column + tile_size]
    below, right = tile_size - tile.shape[0], tile_size - tile.shape[1]
    if below or right:
        return np.pad(tile, ((0, below), (0, right), (0, 0)), constant_values=fill)
    return np.ascontiguousarray(tile)
