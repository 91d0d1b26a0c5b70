"""Files of each kind are warped as they are seen."""

import dataclasses

import numpy as np
import pytest
import rasterio
from PIL import Image
from raster_files import write_tiff
from rasterio import Affine
from rasterio.enums import ColorInterp

from data_prep.imagery.band_choice import AS_FLAGGED, BandChoice
from data_prep.imagery.common_ground import common_ground
from data_prep.imagery.files import read_grid
from data_prep.imagery.grid import Grid
from data_prep.imagery.image_file import open_image
from data_prep.imagery.warped_file import kernel_for, warped


# Of each kind of file: how it is written, and the options that it is read with.
def _palette(path, values):
    colours = {0: (0, 0, 0, 255), 1: (200, 100, 0, 255), 2: (255, 255, 255, 255)}
    bands = (values % 3).astype(np.uint8)[..., :1]
    return write_tiff(path, bands, [ColorInterp.palette], colours, **_GRID)


def _masked(path, values):
    write_tiff(path, values, **_GRID)
    with rasterio.open(path, "r+") as target:
        target.write_mask(values[..., 0] > 2)
    return path


def _with_alpha(path, values):
    bands = np.concatenate([values, (values[..., :1] > 2) * np.uint8(77)], axis=-1)
    interp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    return write_tiff(path, bands, interp, **_GRID)


def _one_bit(path, values):
    return write_tiff(path, values[..., :1] % 2, nbits=1, **_GRID)


def _white_is_zero(path, values):
    return write_tiff(path, values[..., :1], photometric="miniswhite", **_GRID)


def _picture(path, values):
    path = path.with_suffix(".png")
    Image.fromarray(values).save(path)
    path.with_suffix(".pgw").write_text("0.5\n0\n0\n-0.5\n500000.25\n3999999.75\n")
    return path


_GRID = {"crs": "EPSG:32616", "transform": Affine(0.5, 0, 5e5, 0, -0.5, 4e6)}
KINDS = {
    "plain": (lambda path, values: write_tiff(path, values, **_GRID), AS_FLAGGED),
    "bands": (lambda path, values: write_tiff(path, values, **_GRID), BandChoice(bands=(3, 1))),
    "no-data": (lambda path, values: write_tiff(path, values, nodata=0, **_GRID), AS_FLAGGED),
    "no-data said": (lambda path, values: write_tiff(path, values, **_GRID), BandChoice(nodata=0)),
    "palette": (_palette, AS_FLAGGED),
    "mask": (_masked, AS_FLAGGED),
    "alpha": (_with_alpha, AS_FLAGGED),
    "alpha as a band": (_with_alpha, BandChoice(alpha="band")),
    "one bit": (_one_bit, AS_FLAGGED),
    "white is 0": (_white_is_zero, AS_FLAGGED),
    "picture": (_picture, AS_FLAGGED),
}


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_warped_as_they_are_seen(tmp_path, kind):
    values = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    values[10:20, 10:20] = 0
    write, choice = KINDS[kind]
    path = write(tmp_path / "a.tif", values)
    grid = read_grid(path)
    with open_image(path, choice, by_windows=True) as image:
        seen = image.read()
        valid = np.ones((40, 50), bool) if seen.valid is None else seen.valid
        whole = Grid(40, 50, Affine(0.5, 0, 5e5 + 1, 0, -0.5, 4e6 - 0.5), grid.crs)
        moved = warped(image, whole, kernel_for(common_ground(whole, grid)))
        assert (moved.num_bands, moved.dtype) == (image.num_bands, image.dtype)
        raster = moved.read()
        expected = np.where(valid[..., None], seen.pixels, 0)
        np.testing.assert_array_equal(raster.pixels[:39, :48], expected[1:, 2:])
        np.testing.assert_array_equal(raster.valid[:39, :48], valid[1:, 2:])
        half = dataclasses.replace(whole, transform=Affine(0.5, 0, 5e5 + 0.25, 0, -0.5, 4e6))
        between = warped(image, half, kernel_for(common_ground(half, grid))).read()
        # Columns halfway between two valid ones, weights (-1, 9, 9, -1) / 16.
        four = [seen.pixels[:, i : i + 47].astype(float) for i in range(4)]
        mean = np.clip((9 * (four[1] + four[2]) - four[0] - four[3]) / 16, 0, 255)
        # At edges and beside pixels without data, GDAL interpolates by fewer pixels.
        around = [valid[i : i + 37, j : j + 47] for i in range(4) for j in range(4)]
        inside = np.all(around, axis=0)
        assert np.abs(between.pixels[1:38, 1:48] - mean[1:38])[inside].max() <= 1
        assert inside.sum() > 200
