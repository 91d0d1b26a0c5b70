"""Overviews are read as the image itself is: as seen, and in place."""

import numpy as np
import pytest
import rasterio
from PIL import Image
from raster_files import GRID, write_tiff
from rasterio.enums import Resampling

from data_prep.imagery.files import overviews
from data_prep.imagery.image_file import open_image


def with_overviews(path, bands, factors=(2, 4), **profile):
    write_tiff(path, bands, tiled=True, blockxsize=16, blockysize=16, **profile)
    with rasterio.open(path, "r+") as target:
        target.build_overviews(list(factors), Resampling.nearest)
    return path


@pytest.mark.parametrize("level", [0, 1])
def test_an_overview_is_coarser_and_lies_on_the_same_ground(tmp_path, level):
    pixels = np.random.default_rng(0).integers(0, 9, (64, 96, 3)).astype(np.uint16)
    path = with_overviews(tmp_path / "a.tif", pixels, nodata=0)
    assert overviews(path) == (2, 4)
    factor = 2 ** (level + 1)
    with open_image(path, by_windows=True, overview=level) as image:
        assert (image.grid.height, image.grid.width) == (64 // factor, 96 // factor)
        assert image.grid.transform.a == factor * GRID["transform"].a
        assert image.grid.transform.c == GRID["transform"].c
        raster = image.read((1, 2, 10, 20))
    kept = pixels[::factor, ::factor][1:11, 2:22]
    np.testing.assert_array_equal(raster.pixels, kept)
    valid = (kept > 0).any(-1)
    np.testing.assert_array_equal(np.ones_like(valid) if valid.all() else raster.valid, valid)


def test_few_bits_are_spread(tmp_path):
    values = np.random.default_rng(0).integers(0, 4, (64, 64, 1)).astype(np.uint8)
    path = with_overviews(tmp_path / "b.tif", values, nbits=2)
    with open_image(path, by_windows=True, overview=overviews(path).index(2)) as image:
        np.testing.assert_array_equal(image.read().pixels, 85 * values[::2, ::2])


def test_palettes_have_colours_for_the_image_alone(tmp_path):
    values = np.random.default_rng(0).integers(0, 4, (64, 64, 1)).astype(np.uint8)
    colours = {k: (9 * k, 50 + k, 200 - k, 255) for k in range(4)}
    assert overviews(with_overviews(tmp_path / "p.tif", values, colormap=colours)) == ()


def test_files_without_overviews_have_none(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    write_tiff(tmp_path / "a.tif", np.zeros((8, 8, 3), np.uint8))
    assert overviews(tmp_path / "a.png") == overviews(tmp_path / "a.tif") == ()
