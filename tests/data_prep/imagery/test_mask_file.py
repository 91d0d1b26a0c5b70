"""Every kind of mask file: one value a pixel as stored, or refused with a reason."""

import zlib

import numpy as np
import pytest
from PIL import Image
from raster_files import write_tiff

from data_prep.imagery.bands import ReadError
from data_prep.imagery.mask_file import read_mask


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
        assert mask.is_index, path.name
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
    assert not mask.is_index


def test_palettes_that_show_0_as_white_are_refused(tmp_path):
    picture = Image.fromarray(np.eye(4, dtype=np.uint8)).convert("P")
    picture.putpalette([255, 255, 255, *[0] * 765])
    picture.save(tmp_path / "a.png")
    white_black = {0: (255, 255, 255, 255), 1: (0, 0, 0, 255)}
    write_tiff(tmp_path / "a.tif", np.eye(4, dtype=np.uint8)[..., None], colormap=white_black)
    for suffix in ("png", "tif"):
        with pytest.raises(ReadError, match=r"shows 0 as white.*convert\('L'\)"):
            read_mask(tmp_path / f"a.{suffix}")


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


def test_pixels_that_are_nan_or_declared_no_data_are_missing(tmp_path):
    values = np.array([[0, 1, np.nan], [255, 1, np.nan]], np.float32)
    absent = np.isnan(values)
    write_tiff(tmp_path / "nan.tif", values[..., None])
    write_tiff(tmp_path / "declared.tif", values[..., None], nodata=float("nan"))
    wide = np.where(absent, -9999, values).astype(np.int16)
    write_tiff(tmp_path / "wide.tif", wide[..., None], nodata=-9999)
    write_tiff(tmp_path / "rgb.tif", np.dstack([values] * 3))
    for path in sorted(tmp_path.iterdir()):
        mask = read_mask(path)
        np.testing.assert_array_equal(mask.missing, absent, err_msg=path.name)
        np.testing.assert_array_equal(mask.values[~absent], values[~absent].astype(np.uint8))
        assert mask.nodata is None
    mask = read_mask(write_tiff(tmp_path / "byte.tif", np.full((2, 2, 1), 9, np.uint8), nodata=9))
    assert (mask.missing, mask.nodata) == (None, 9)


def test_masks_are_turned_as_viewers_do_and_read_by_windows(tmp_path):
    values = np.arange(35, dtype=np.uint8).reshape(5, 7)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(values).save(tmp_path / "a.png", exif=exif)
    Image.fromarray(values).save(tmp_path / "a.tif", tiffinfo={0x0112: 6})
    for path in sorted(tmp_path.iterdir()):
        seen = np.rot90(values, -1)
        np.testing.assert_array_equal(read_mask(path).values, seen)
        np.testing.assert_array_equal(read_mask(path, (1, 2, 4, 3)).values, seen[1:5, 2:5])


def test_a_mask_whose_white_is_zero_is_refused(tmp_path):
    path = write_tiff(tmp_path / "a.tif", np.zeros((2, 2, 1), np.uint8), photometric="MINISWHITE")
    with pytest.raises(ReadError, match="white as 0"):
        read_mask(path)
