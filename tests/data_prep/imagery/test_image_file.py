"""Every kind of image file: read as it is, or refused with a reason."""

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from PIL import Image, ImageOps
from raster_files import GRID, shape_of, write_tiff
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from data_prep.imagery.band_choice import BandChoice
from data_prep.imagery.bands import ReadError
from data_prep.imagery.image_file import open_image, read_image, read_size
from data_prep.imagery.mask_file import read_mask
from noise2map_jax.mapping import scene


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


ALL_KINDS = {}


def kind(write):
    ALL_KINDS[write.__name__] = write
    return write


def rgb(height=6, width=9):
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


# Each writes a file, and returns what a person sees in it: [H, W, C].


@kind
def turned_jpeg(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(rgb()).save(folder / "a.jpg", exif=exif, quality=95)
    return np.asarray(ImageOps.exif_transpose(Image.open(folder / "a.jpg")))


@kind
def turned_png(folder):
    exif = Image.Exif()
    exif[0x0112] = 7
    Image.fromarray(rgb()).save(folder / "a.png", exif=exif)
    return np.asarray(ImageOps.exif_transpose(Image.open(folder / "a.png")))


@kind
def turned_tiff(folder):
    Image.fromarray(rgb()).save(folder / "a.tif", tiffinfo={0x0112: 8})
    return np.rot90(rgb())


@kind
def turned_bigtiff(folder):
    Image.fromarray(rgb()).save(folder / "a.tif", tiffinfo={0x0112: 3}, big_tiff=True)
    return rgb()[::-1, ::-1]


@kind
def placed_tiff_with_an_orientation(folder):
    """GIS programs disregard the tag where there is a georeference."""
    Image.fromarray(rgb()).save(
        folder / "a.tif",
        tiffinfo={
            0x0112: 8,
            33550: (0.5, 0.5, 0.0),
            33922: (0.0, 0.0, 0.0, 500000.0, 5000000.0, 0.0),
            34735: (1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, 32633),
        },
    )
    return rgb()


@kind
def palette_png(folder):
    picture = Image.fromarray(rgb()).quantize(16)
    picture.save(folder / "a.png")
    return np.asarray(picture.convert("RGB"))


@kind
def palette_tiff(folder):
    table = {i: (i, 255 - i, 7, 255) for i in range(256)}
    indices = rgb()[..., :1]
    write_tiff(folder / "a.tif", indices, colormap=table)
    return np.concatenate([indices, 255 - indices, np.full_like(indices, 7)], axis=-1)


@kind
def cmyk_jpeg(folder):
    Image.fromarray(rgb()).convert("CMYK").save(folder / "a.jpg", quality=95)
    return np.asarray(Image.open(folder / "a.jpg").convert("RGB"))


@kind
def cmyk_tiff(folder):
    Image.fromarray(rgb()).convert("CMYK").save(folder / "a.tif")
    return rgb()


@kind
def one_bit_png(folder):
    picture = Image.fromarray(rgb()[..., 0] > 99)
    picture.save(folder / "a.png")
    return np.where(rgb()[..., :1] > 99, np.uint8(255), np.uint8(0))


@kind
def four_bit_tiff(folder):
    write_tiff(folder / "a.tif", rgb()[..., :1] // 16, nbits=4)
    return rgb()[..., :1] // 16 * 17


@kind
def white_is_zero(folder):
    write_tiff(folder / "a.tif", rgb()[..., :1], photometric="MINISWHITE")
    return 255 - rgb()[..., :1]


@kind
def sixteen_bit_png(folder):
    pixels = rgb().astype(np.uint16) * 257
    with rasterio.open(folder / "a.png", "w", driver="PNG", **GRID, **shape_of(pixels)) as target:
        target.write(np.moveaxis(pixels, -1, 0))
    return pixels


@kind
def grey_with_alpha(folder):
    grey = rgb()[..., 0]
    Image.fromarray(np.dstack([grey, np.full_like(grey, 255)])).save(folder / "a.png")
    return grey[..., None]


@kind
def vrt(folder):
    inside = folder / "inside"
    inside.mkdir()
    with rasterio.open(write_tiff(inside / "a.tif", rgb())) as source, WarpedVRT(source) as warped:
        rasterio.shutil.copy(warped, folder / "a.vrt", driver="VRT")
    return rgb()


@pytest.mark.parametrize("write", ALL_KINDS.values(), ids=ALL_KINDS)
def test_datasets_and_maps_see_what_people_see(tmp_path, write):
    seen = write(tmp_path)
    path = next(path for path in tmp_path.iterdir() if path.is_file() and "xml" not in path.name)
    image = read_image(path)
    np.testing.assert_array_equal(image.pixels, seen)
    assert image.valid is None
    assert read_size(path) == seen.shape[:2]
    with scene.open_image(str(path)) as opened:
        assert (opened.num_bands, opened.dtype) == (seen.shape[2], str(seen.dtype))
        tile, valid = scene.read_block(opened, Window(2, 1, 4, 4))
    np.testing.assert_array_equal(tile, seen[1:5, 2:6])
    assert valid.all()


def test_a_flagged_band_is_alpha_or_a_band_as_asked_for(tmp_path):
    rgba = np.dstack([rgb(), np.where(rgb()[..., 0] > 99, 200, 0).astype(np.uint8)])
    kinds = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    path = write_tiff(tmp_path / "a.tif", rgba, colorinterp=kinds)
    np.testing.assert_array_equal(read_image(path).valid, rgba[..., 3] > 0)
    band = read_image(path, choice=BandChoice(alpha="band"))
    np.testing.assert_array_equal(band.pixels, rgba)
    assert band.valid is None
    swapped = read_image(path, choice=BandChoice((3, 1)))
    np.testing.assert_array_equal(swapped.pixels, rgba[..., [2, 0]])
    np.testing.assert_array_equal(swapped.valid, rgba[..., 3] > 0)
    plain = write_tiff(tmp_path / "b.tif", rgba, photometric="MINISBLACK")
    assert read_image(plain).pixels.shape[-1] == 4
    masked = read_image(plain, choice=BandChoice(alpha="mask"))
    np.testing.assert_array_equal(masked.pixels, rgb())
    np.testing.assert_array_equal(masked.valid, rgba[..., 3] > 0)


def test_no_data_counts_where_alpha_is_a_band(tmp_path):
    rgba = np.dstack([rgb(), np.full((6, 9), 7, np.uint8)])
    rgba[2, 3] = 0
    kinds = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    path = write_tiff(tmp_path / "a.tif", rgba, colorinterp=kinds, nodata=0)
    image = read_image(path, choice=BandChoice(alpha="band"))
    assert np.argwhere(~image.valid).tolist() == [[2, 3]]


def test_what_was_done_is_noted(tmp_path):
    turned_jpeg(tmp_path)
    with open_image(tmp_path / "a.jpg") as image:
        assert image.notes == ("turned by 90 degrees clockwise, as its orientation tag says",)
    cmyk_jpeg(tmp_path)
    with open_image(tmp_path / "a.jpg") as image:
        assert image.notes == ("converted from CMYK to RGB",)


def test_no_data_must_be_a_value_that_pixels_can_have(tmp_path):
    pixels = np.zeros((4, 4, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for path in (write_tiff(tmp_path / "a.tif", pixels), tmp_path / "a.png"):
        with pytest.raises(ReadError, match=r"is uint8.* 0 to 255, but --nodata=300"):
            read_image(path, choice=BandChoice(nodata=300))
    deep = write_tiff(tmp_path / "b.tif", pixels.astype(np.uint16))
    assert read_image(deep, choice=BandChoice(nodata=300)).valid is None
