"""Predicts a scene and gives it out in strips: files are read while the devices compute."""

import collections
import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from data_prep.imagery.image_file import ImageFile
from noise2map_jax.mapping.background import read_ahead
from noise2map_jax.mapping.blending import Blend, Strip
from noise2map_jax.mapping.exported_predictor import ExportedPredictor
from noise2map_jax.mapping.predictor import Predictor
from noise2map_jax.mapping.tile_reader import TileRow, tile_rows
from noise2map_jax.mapping.tiling import Region, Tiling
from noise2map_jax.steps.eval_step import Prediction

ROWS_AHEAD = 3  # rows of tiles that are read ahead
BATCHES_AHEAD = 2  # batches that the devices have at once: one computes, one waits


class _Tile(NamedTuple):
    """A tile on its way to the network; without pixels: the beginning of a row of tiles."""

    row: int
    column: int
    pixels: tuple[np.ndarray, ...]
    valid: np.ndarray | None = None


def predicted_strips(
    predictor: Predictor | ExportedPredictor,
    images: list[ImageFile],
    tiling: Tiling,
    region: Region,
    batch_size: int,
    num_classes: int,
) -> Iterator[Strip]:
    """Predict a region of a scene.

    Args:
        predictor: the network.
        images: the images of the scene, on one grid.
        tiling: the tiles.
        region: the part of the scene.
        batch_size: tiles predicted at once.
        num_classes: K.

    Yields:
        Strips from top to bottom, whose values are K probabilities and the uncertainty. Each pixel
        of the region is in one strip.
    """
    grid = images[0].grid
    blend = Blend(tiling, region, grid.height, grid.width, num_classes + 1)
    rows = read_ahead(tile_rows(images, tiling, region), ROWS_AHEAD)
    begun: collections.deque[tuple[list[_Tile], Prediction | None]] = collections.deque()
    for batch in _batches(rows, batch_size):
        tiles = [tile for tile in batch if tile.pixels]
        places = [(tiling.offset(tile.row), tiling.offset(tile.column)) for tile in tiles]
        found = predictor([t.pixels for t in tiles], places, batch_size) if tiles else None
        begun.append((batch, found))
        if len(begun) > BATCHES_AHEAD:
            yield from _blended(blend, *begun.popleft())
    while begun:
        yield from _blended(blend, *begun.popleft())
    yield from blend.finish()


def _batches(rows: Iterable[TileRow], batch_size: int) -> Iterator[list[_Tile]]:
    """Group the tiles of all rows, so that no batch but the last is partly empty."""
    batch: list[_Tile] = []
    number = itertools.count(1)
    for row in rows:
        batch.append(_Tile(row.row, 0, (), row.valid))
        for column, pixels in row.tiles:
            batch.append(_Tile(row.row, column, pixels))
            if next(number) % batch_size == 0:
                yield batch
                batch = []
    if batch:
        yield batch


def _blended(blend: Blend, batch: list[_Tile], found: Prediction | None) -> Iterator[Strip]:
    if found is not None:
        probabilities, uncertainty = (np.asarray(array) for array in found)
        values = iter(np.concatenate([probabilities, uncertainty[..., None]], axis=-1))
    for tile in batch:
        if tile.valid is not None:
            yield from blend.begin_row(tile.row, tile.valid)
        else:
            blend.add(tile.column, next(values))
