"""Every kind of image file: read as it is, or refused with a reason."""

import zlib

import numpy as np
import pytest
import rasterio
from PIL import Image
from raster_files import GRID, shape_of, write_tiff
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning

from data_prep.imagery.readers import ReadError, read_image, read_mask


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


def test_float_tiff_and_cmyk_are_refused(tmp_path):
    write_tiff(tmp_path / "a.tif", np.zeros((2, 2, 1), np.float32))
    with pytest.raises(ReadError, match="float32; expected uint8 or uint16"):
        read_image(tmp_path / "a.tif")
    Image.new("CMYK", (4, 4)).save(tmp_path / "b.jpg")
    with pytest.raises(ReadError, match="mode CMYK"):
        read_image(tmp_path / "b.jpg")
    Image.new("RGB", (4, 4)).save(tmp_path / "c.png", format="BMP")
    with pytest.raises(ReadError, match="is BMP"):
        read_image(tmp_path / "c.png")


def test_masks_of_one_bit_are_classes(tmp_path):
    bits = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)
    Image.fromarray(bits * 255).convert("1").save(tmp_path / "bits.png")
    write_tiff(tmp_path / "bits.tif", bits[..., None], nbits=1)
    black_white = {0: (0, 0, 0, 255), 1: (255, 255, 255, 255)}
    write_tiff(tmp_path / "palette.tif", bits[..., None], nbits=1, colormap=black_white)
    inverse = {0: (255, 255, 255, 255), 1: (0, 0, 0, 255)}
    write_tiff(tmp_path / "inverse.tif", 1 - bits[..., None], nbits=1, colormap=inverse)
    picture = Image.fromarray(1 - bits).convert("P")
    picture.putpalette([255, 255, 255, 0, 0, 0])
    picture.save(tmp_path / "inverse.png", bits=1)
    for path in sorted(tmp_path.iterdir()):
        mask = read_mask(path)
        assert mask.is_boolean, path.name
        np.testing.assert_array_equal(mask.values, bits, err_msg=path.name)


def test_palette_masks_are_indices(tmp_path):
    indices = np.array([[0, 1], [2, 5]], np.uint8)
    picture = Image.fromarray(indices).convert("P")
    picture.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0, 9, 9, 9, 8, 8, 8, 0, 0, 200])
    picture.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as stored:
        assert stored.mode == "P"
    mask = read_mask(tmp_path / "a.png")
    np.testing.assert_array_equal(mask.values, indices)
    assert not mask.is_boolean


def grey_png(values, bit_depth):
    """Encode a grey PNG of 2 or 4 bits, which Pillow does not write."""

    def chunk(kind, data):
        body = kind + data
        return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    height, width = values.shape
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([bit_depth, 0, 0, 0, 0])
    rows = b""
    for row in values:
        bits = "".join(f"{value:0{bit_depth}b}" for value in row)
        bits += "0" * (-len(bits) % 8)
        rows += b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


@pytest.mark.parametrize("bit_depth", [2, 4])
def test_masks_of_few_bits_are_not_stretched(tmp_path, bit_depth):
    values = np.array([[0, 1, 2], [3, 0, 1]], np.uint8)
    (tmp_path / "a.png").write_bytes(grey_png(values, bit_depth))
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png").values, values)


def test_grey_masks_stored_as_rgb_or_wide_integers(tmp_path):
    values = np.array([[0, 255], [1, 7]], np.uint8)
    Image.fromarray(np.dstack([values] * 3)).save(tmp_path / "rgb.png")
    opaque = np.full_like(values, 255)
    Image.fromarray(np.dstack([values] * 3 + [opaque])).save(tmp_path / "rgba.png")
    write_tiff(tmp_path / "wide.tif", values[..., None].astype(np.int32))
    write_tiff(tmp_path / "nodata.tif", values[..., None], nodata=1)  # No meaning in a mask.
    for path in sorted(tmp_path.iterdir()):
        np.testing.assert_array_equal(read_mask(path).values, values, err_msg=path.name)


def test_masks_without_one_value_a_pixel_are_refused(tmp_path):
    colours = np.zeros((3, 4, 3), np.uint8)
    colours[2, 1] = (10, 20, 30)
    Image.fromarray(colours).save(tmp_path / "colours.png")
    with pytest.raises(ReadError, match=r"row 2, column 1 holds \(10, 20, 30\)"):
        read_mask(tmp_path / "colours.png")
    write_tiff(tmp_path / "wide.tif", np.full((2, 2, 1), 300, np.uint16))
    with pytest.raises(ReadError, match="holds 300"):
        read_mask(tmp_path / "wide.tif")
    write_tiff(tmp_path / "half.tif", np.full((2, 2, 1), 0.5, np.float32))
    with pytest.raises(ReadError, match=r"holds 0\.5"):
        read_mask(tmp_path / "half.tif")
    clear = np.zeros((2, 2, 4), np.uint8)
    Image.fromarray(clear).save(tmp_path / "clear.png")
    with pytest.raises(ReadError, match="transparent"):
        read_mask(tmp_path / "clear.png")
    write_tiff(tmp_path / "two.tif", np.zeros((2, 2, 2), np.uint8))
    with pytest.raises(ReadError, match="has 2 bands; a mask has one"):
        read_mask(tmp_path / "two.tif")
