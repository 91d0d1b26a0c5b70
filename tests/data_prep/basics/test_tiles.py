"""Tiling covers every source pixel exactly once, whatever the sizes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data_prep.basics import tiles

sizes = st.integers(1, 40)


@given(height=sizes, width=sizes, tile_size=st.integers(1, 17), bands=st.integers(1, 3))
def test_tiles_cover_each_pixel_exactly_once(height, width, tile_size, bands):
    scene = np.arange(1, height * width * bands + 1, dtype=np.uint16).reshape(height, width, bands)
    seen = np.zeros_like(scene)
    number = 0
    for row, column in tiles.offsets(height, width, tile_size):
        tile = tiles.cut(scene, row, column, tile_size, fill=0)
        assert tile.shape == (tile_size, tile_size, bands)
        inside = tile[: height - row, : width - column]
        seen[row : row + tile_size, column : column + tile_size] += inside
        assert (tile != 0).sum() == inside.size  # What is outside the scene is padding.
        number += 1
    np.testing.assert_array_equal(seen, scene)
    assert number == tiles.count(height, width, tile_size)


def test_padding_has_the_fill_value_and_only_outside():
    scene = np.zeros((3, 5, 1), np.uint8)
    tile = tiles.cut(scene, 2, 4, 4, fill=255)
    assert tile[0, 0, 0] == 0
    assert (tile == 255).sum() == 15


def test_tiles_come_row_by_row():
    assert list(tiles.offsets(3, 5, 2)) == [(0, 0), (0, 2), (0, 4), (2, 0), (2, 2), (2, 4)]
