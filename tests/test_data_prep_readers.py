"""Every kind of image file: read as it is, or refused with a reason."""

import io
import json
import pathlib
import subprocess
import sys
import zlib

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning

from data_prep import readers
from data_prep.readers import ReadError, read_image, read_mask, read_size


@pytest.fixture
def rng():
    return np.random.default_rng(0)


GRID = {"crs": "EPSG:32616", "transform": rasterio.Affine(0.5, 0, 100, 0, -0.5, 100)}


def shape_of(bands):
    height, width, count = bands.shape
    return {"height": height, "width": width, "count": count, "dtype": bands.dtype}


def write_tiff(path, bands, colorinterp=None, colormap=None, **profile):
    """Write [H, W, C] as a GeoTIFF."""
    with rasterio.open(
        path, "w", driver="GTiff", **{**GRID, **shape_of(bands), **profile}
    ) as target:
        target.write(np.moveaxis(bands, -1, 0))
        if colorinterp:
            target.colorinterp = colorinterp
        if colormap:
            target.write_colormap(1, colormap)
    return path


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
    with pytest.raises(ReadError, match="float32; uint8 or uint16"):
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


def sources(rng):
    """(name, bytes, image) of each kind."""
    pixels = rng.integers(0, 256, (64, 64, 3), np.uint8)
    for name, options in {"a.png": {}, "a.jpg": {"quality": 90}}.items():
        buffer = io.BytesIO()
        kind = "PNG" if name == "a.png" else "JPEG"
        Image.fromarray(pixels).save(buffer, kind, **options)
        yield name, buffer.getvalue()
    for name, options in {"plain.tif": {}, "deflate.tif": {"compress": "deflate"}}.items():
        with rasterio.MemoryFile() as memory:
            with memory.open(driver="GTiff", **GRID, **shape_of(pixels), **options) as target:
                target.write(np.moveaxis(pixels, -1, 0))
            yield name, memory.read()


def test_cut_files_are_refused(tmp_path, rng, capfd):
    for name, whole in sources(rng):
        path = tmp_path / name
        path.write_bytes(whole)
        assert read_image(path).pixels.shape == (64, 64, 3)
        for share in (0.0, 0.01, 0.3, 0.7, 0.95):
            path.write_bytes(whole[: int(share * len(whole))])
            with pytest.raises(ReadError) as caught:
                read_image(path)
            assert "\n" not in str(caught.value)
            assert str(tmp_path) not in str(caught.value)
    assert capfd.readouterr().err == ""  # Decoders keep their complaints to themselves.


def test_damaged_files_are_read_or_refused_but_never_crash(tmp_path, rng):
    refused = 0
    for name, whole in sources(rng):
        path = tmp_path / name
        for _ in range(40):
            damaged = bytearray(whole)
            for place in rng.integers(0, min(len(whole), 400), rng.integers(1, 6)):
                damaged[place] = rng.integers(0, 256)
            path.write_bytes(damaged)
            try:
                image = read_image(path)
            except ReadError:
                refused += 1
            else:
                assert image.pixels.dtype in (np.uint8, np.uint16)
                assert image.pixels.ndim == 3
    assert refused > 80


def test_no_flipped_bit_of_a_png_changes_the_pixels_unnoticed(tmp_path, rng):
    # Coarse, as a mask: where much is compressed, a decoder follows a wrong bit without a word.
    truth = np.kron(rng.integers(0, 2, (40, 40, 1)), np.ones((8, 8, 1))).astype(np.uint8) * 255
    Image.fromarray(truth[..., 0]).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    for place in rng.integers(0, len(whole), 200):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        (tmp_path / "a.png").write_bytes(damaged)
        try:
            pixels = read_image(tmp_path / "a.png").pixels
        except ReadError:
            continue
        np.testing.assert_array_equal(pixels, truth)


def test_a_huge_header_allocates_nothing(tmp_path, monkeypatch):
    Image.new("L", (64, 64)).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    header = b"IHDR" + (60000).to_bytes(4, "big") * 2 + whole[24:29]
    data = whole[:12] + header + zlib.crc32(header).to_bytes(4, "big") + whole[33:]
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ReadError, match=r"60000|exceeds limit"):
        read_image(tmp_path / "a.png")
    monkeypatch.setattr(readers, "MAX_PIXELS", 100)
    write_tiff(tmp_path / "b.tif", np.zeros((20, 20, 1), np.uint8))
    with pytest.raises(ReadError, match="20 x 20 pixels, more than 100"):
        read_image(tmp_path / "b.tif")


TILED = {"tiled": True, "blockxsize": 32, "blockysize": 16, "compress": "deflate"}


def window_sources(folder):
    """Write one picture as each kind of file that can be read by windows."""
    rng = np.random.default_rng(3)
    rgb = rng.integers(1, 256, (50, 70, 3), np.uint8)
    rgb[20:24, 30:50] = 0
    rgba = np.dstack([rgb, np.where(rgb[..., :1] > 0, 255, 0).astype(np.uint8)])
    alpha = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    table = {index: (255 - index, index, 7, 255) for index in range(256)}
    write_tiff(folder / "strips.tif", rgb, nodata=0)
    write_tiff(folder / "tiles.tif", rgb, interleave="pixel", **TILED)
    write_tiff(folder / "bands.tif", rgb.astype(np.uint16) * 99, interleave="band", **TILED)
    write_tiff(folder / "alpha.tif", rgba, colorinterp=alpha, **TILED)
    write_tiff(folder / "palette.tif", rgb[..., :1], colormap=table, **TILED)
    write_tiff(folder / "bits.tif", rgb[..., :1] // 128, nbits=1)
    wide = rgb.astype(np.uint16) * 99
    with rasterio.open(folder / "wide.png", "w", "PNG", **GRID, **shape_of(wide)) as target:
        target.write(np.moveaxis(wide, -1, 0))
    Image.fromarray(rgb).save(folder / "a.jpg")
    Image.fromarray(rgba).save(folder / "a.png")
    Image.fromarray(rgb[..., 0]).save(folder / "grey.png")
    return sorted(folder.iterdir())


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 49), st.integers(0, 69), st.integers(1, 50), st.integers(1, 70))
def test_a_window_is_a_piece_of_the_whole(tmp_path_factory, row, column, rows, columns):
    folder = tmp_path_factory.getbasetemp() / "windows"
    if not folder.exists():
        folder.mkdir()
        window_sources(folder)
    rows, columns = min(rows, 50 - row), min(columns, 70 - column)
    window, piece = (row, column, rows, columns), np.s_[row : row + rows, column : column + columns]
    for path in sorted(folder.iterdir()):
        if path.suffix == ".xml":
            continue
        whole, part = read_image(path), read_image(path, window)
        np.testing.assert_array_equal(part.pixels, whole.pixels[piece], err_msg=path.name)
        valid = np.ones((rows, columns), bool) if whole.valid is None else whole.valid[piece]
        found = np.ones_like(valid) if part.valid is None else part.valid
        np.testing.assert_array_equal(found, valid, err_msg=path.name)
        if path.stem in ("palette", "bits", "grey"):
            mask, cut = read_mask(path), read_mask(path, window)
            np.testing.assert_array_equal(cut.values, mask.values[piece], err_msg=path.name)
            assert cut.is_boolean == mask.is_boolean
    assert sum(whole_has_invalid(path) for path in folder.glob("*.tif")) == 2


def whole_has_invalid(path):
    return read_image(path).valid is not None


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
@pytest.mark.parametrize("window", [(0, 0, 9, 8), (0, 1, 8, 8), (-1, 0, 4, 4), (0, 0, 0, 8)])
def test_a_window_that_is_not_in_the_image_is_refused(tmp_path, name, window):
    pixels = np.zeros((8, 8, 1), np.uint8)
    Image.fromarray(pixels[..., 0]).save(tmp_path / name)
    for read in (read_image, read_mask):
        with pytest.raises(ReadError, match=r"has 8 x 8 pixels; the .* are not among them"):
            read(tmp_path / name, window)


def test_the_limit_of_pixels_is_the_windows(tmp_path, monkeypatch):
    write_tiff(tmp_path / "a.tif", np.zeros((40, 64, 1), np.uint8), **TILED)
    Image.new("L", (64, 40)).save(tmp_path / "a.png")
    monkeypatch.setattr(readers, "MAX_PIXELS", 600)
    for read in (read_image, read_mask, read_size):
        with pytest.raises(ReadError, match="has 64 x 40 pixels, more than 600"):
            read(tmp_path / "a.tif")
    assert read_size(tmp_path / "a.tif", by_windows=True) == (40, 64)
    assert read_image(tmp_path / "a.tif", (9, 9, 30, 20)).pixels.shape == (30, 20, 1)
    assert read_mask(tmp_path / "a.tif", (9, 9, 30, 20)).values.shape == (30, 20)
    with pytest.raises(ReadError, match="is read by 31 x 20 pixels, more than 600"):
        read_mask(tmp_path / "a.tif", (0, 0, 20, 31))
    with pytest.raises(ReadError, match="has 64 x 40 pixels, more than 600"):  # Decoded whole.
        read_image(tmp_path / "a.png", (0, 0, 2, 2))
    monkeypatch.setattr(readers, "MAX_PIXELS", 500)
    with pytest.raises(ReadError, match="has blocks of 32 x 16 pixels, more than 500"):
        read_image(tmp_path / "a.tif", (0, 0, 2, 2))


def test_a_damaged_block_spoils_the_windows_that_touch_it(tmp_path, rng):
    pixels = rng.integers(0, 256, (64, 96, 3), np.uint8)
    path = write_tiff(tmp_path / "a.tif", pixels, interleave="pixel", **TILED)
    with Image.open(path) as picture:
        offset, size = (picture.tag_v2[tag][4] for tag in (324, 325))  # Row 16, column 32.
    data = bytearray(path.read_bytes())
    data[offset : offset + size] = bytes(size)
    path.write_bytes(data)
    with pytest.raises(ReadError, match=r"^cannot be read \("):
        read_image(path)
    for row in range(0, 64, 16):
        for column in range(0, 96, 32):
            window = (row + 1, column + 1, 15, 31)
            if (row, column) == (16, 32):
                with pytest.raises(ReadError, match=r"^cannot be read \("):
                    read_image(path, window)
            else:
                piece = pixels[row + 1 : row + 16, column + 1 : column + 32]
                np.testing.assert_array_equal(read_image(path, window).pixels, piece)


WINDOWS = """
import json, re, sys
from pathlib import Path
from data_prep.readers import read_image, read_mask, read_size
peak = lambda: int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
path = Path(sys.argv[1])
before, sums = peak(), []
size = read_size(path, by_windows=True)
for row in range(0, 20000, 4000):
    sums.append(int(read_image(path, (row, 18500, 500, 1500)).pixels.sum()))
    sums.append(int(read_mask(path, (row, 0, 500, 500)).values.sum()))
print(json.dumps([size, sums, peak() - before]))
"""


# Not getrusage: a process begins with the ru_maxrss of the one that started it.
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_windows_of_a_large_file_need_little_memory(tmp_path):
    """20,000 x 20,000 pixels of three bands, 1.2 GB decoded."""
    options = {"tiled": True, "blockxsize": 256, "blockysize": 256, "sparse_ok": True}
    side = {"height": 20000, "width": 20000, "count": 3, "dtype": "uint8", "interleave": "pixel"}
    with rasterio.open(tmp_path / "a.tif", "w", "GTiff", **GRID, **side, **options) as target:
        patch = np.full((3, 7, 5), 9, np.uint8)
        target.write(patch, window=((8001, 8008), (19000, 19005)))
        target.write(patch, window=((3990, 3997), (19000, 19005)))  # In no window.
    command = [sys.executable, "-c", WINDOWS, str(tmp_path / "a.tif")]
    root = pathlib.Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    size, sums, growth = json.loads(done.stdout)
    assert size == [20000, 20000]
    assert sums == [0, 0, 0, 0, 9 * 3 * 7 * 5, 0, 0, 0, 0, 0]
    assert growth < 60 * 1024
