"""Every kind of image file: read as it is, or refused with a reason."""

import numpy as np
import pytest
import rasterio
from PIL import Image
from raster_files import GRID, shape_of, write_tiff
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning

from data_prep.imagery.bands import ReadError
from data_prep.imagery.image_file import read_image
from data_prep.imagery.mask_file import read_mask


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_png_pixels_are_those_stored(tmp_path, rng, mode):
    shape = (5, 7) if mode == "L" else (5, 7, 3)
    pixels = rng.integers(0, 256, shape, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(image.pixels, pixels.reshape(5, 7, -1))
    assert image.valid is None
    assert image.alpha_levels is None


def test_the_kind_is_read_from_the_bytes_not_from_the_name(tmp_path, rng):
    pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
    write_tiff(tmp_path / "a.png", pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").pixels, pixels)
    Image.fromarray(pixels).save(tmp_path / "b.tif", format="JPEG", quality=95)
    assert read_image(tmp_path / "b.tif").pixels.shape == (8, 8, 3)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_becomes_valid_pixels(tmp_path, rng, mode):
    pixels = rng.integers(0, 256, (4, 6, len(mode)), np.uint8)
    pixels[..., -1] = 255
    pixels[1, 2, -1], pixels[0, 0, -1] = 0, 7
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(image.pixels, pixels[..., :-1])
    assert np.argwhere(~image.valid).tolist() == [[1, 2]]
    assert image.alpha_levels == 1


def test_a_transparent_colour_of_a_png_is_no_data(tmp_path):
    pixels = np.full((3, 3, 3), 9, np.uint8)
    pixels[2, 1] = 0
    Image.fromarray(pixels).save(tmp_path / "a.png", transparency=(0, 0, 0))
    assert np.argwhere(~read_image(tmp_path / "a.png").valid).tolist() == [[2, 1]]


def test_sixteen_bits_are_kept(tmp_path, rng):
    pixels = rng.integers(0, 65536, (6, 5, 3), np.uint16)
    write_tiff(tmp_path / "a.tif", pixels)
    with rasterio.open(tmp_path / "b.png", "w", driver="PNG", **GRID, **shape_of(pixels)) as target:
        target.write(np.moveaxis(pixels, -1, 0))
    for name in ("a.tif", "b.png"):
        image = read_image(tmp_path / name)
        assert image.pixels.dtype == np.uint16
        np.testing.assert_array_equal(image.pixels, pixels)


def test_tiff_no_data_mask_and_alpha(tmp_path, rng):
    pixels = rng.integers(1, 256, (4, 4, 3), np.uint8)
    pixels[0, 1] = 0
    assert read_image(write_tiff(tmp_path / "plain.tif", pixels)).valid is None
    with_nodata = read_image(write_tiff(tmp_path / "nodata.tif", pixels, nodata=0))
    assert np.argwhere(~with_nodata.valid).tolist() == [[0, 1]]
    rgba = np.dstack([pixels, np.full((4, 4), 255, np.uint8)])
    rgba[3, 3, 3] = 0
    kinds = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    image = read_image(write_tiff(tmp_path / "alpha.tif", rgba, colorinterp=kinds))
    assert image.pixels.shape == (4, 4, 3)
    assert np.argwhere(~image.valid).tolist() == [[3, 3]]
    kinds = [ColorInterp.gray, *[ColorInterp.undefined] * 3]
    four = read_image(write_tiff(tmp_path / "four.tif", rgba, colorinterp=kinds))
    np.testing.assert_array_equal(four.pixels, rgba)  # A fourth spectral band is a band.


def test_a_tiff_without_coordinates_is_as_good(tmp_path, rng):
    pixels = rng.integers(0, 256, (4, 4, 1), np.uint8)
    with pytest.warns(NotGeoreferencedWarning):
        write_tiff(tmp_path / "a.tif", pixels, crs=None, transform=None)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels, pixels)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.tif").values, pixels[..., 0])


def test_other_types_and_kinds_are_refused(tmp_path):
    write_tiff(tmp_path / "a.tif", np.zeros((2, 2, 1), np.float32))
    with pytest.raises(ReadError, match="float32; expected uint8 or uint16"):
        read_image(tmp_path / "a.tif")
    Image.new("RGB", (4, 4)).save(tmp_path / "c.png", format="BMP")
    with pytest.raises(ReadError, match="is BMP"):
        read_image(tmp_path / "c.png")
