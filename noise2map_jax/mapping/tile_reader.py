"""Reads a scene by rows of tiles: each pixel of a row once, whatever tiles share it."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from rasterio.windows import Window

from data_prep.imagery.image_file import ImageFile
from noise2map_jax.mapping import scene
from noise2map_jax.mapping.tiling import Region, Tiling


class TileRow(NamedTuple):
    """A row of tiles.

    Attributes:
        row: its number.
        valid: [U, W] bool, which pixels of its used rows, over the region's width, hold data in all
            images; [1, 1] where none does.
        tiles: number of the column and pixels of each tile that holds data, one array [S, S, C] an
            image.
    """

    row: int
    valid: np.ndarray
    tiles: list[tuple[int, tuple[np.ndarray, ...]]]


def tile_rows(images: list[ImageFile], tiling: Tiling, region: Region) -> Iterator[TileRow]:
    """Read the tiles of a region, row by row; beyond the scene they hold mirrored pixels.

    Args:
        images: one or two images on one grid.
        tiling: the tiles.
        region: the part of the scene.
    """
    size, margin = tiling.tile_size, tiling.margin
    first, last = region.tile_columns.start, region.tile_columns.stop - 1
    left = tiling.offset(first)
    width = tiling.offset(last) + size - left
    used = slice(margin, margin + tiling.used)
    columns = slice(region.columns[0] - left, region.columns[1] - left)
    for row in region.tile_rows:
        window = Window(left, tiling.offset(row), width, size)
        read = [scene.read_block(image, window) for image in images]
        valid = np.logical_and.reduce([mask for _, mask in read])
        tiles = []
        for column in region.tile_columns:
            start = tiling.offset(column) - left
            inside = slice(start, start + size)
            if valid[:, inside].any():
                tiles.append((column, tuple(pixels[:, inside] for pixels, _ in read)))
        # Rows without data wait for a batch in numbers that only the scene limits.
        shown = valid[used, columns] if tiles else np.zeros((1, 1), bool)
        yield TileRow(row, shown, tiles)
