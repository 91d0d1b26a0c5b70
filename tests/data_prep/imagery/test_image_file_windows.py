"""Windows of large images: a piece of the whole, and no more memory than that."""

import json
import subprocess
import sys

import numpy as np
import programs
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from raster_files import GRID, shape_of, write_tiff
from rasterio.enums import ColorInterp

from data_prep.imagery import files
from data_prep.imagery.bands import ReadError
from data_prep.imagery.image_file import read_image, read_size
from data_prep.imagery.mask_file import read_mask


@pytest.fixture
def rng():
    return np.random.default_rng(0)


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
            assert cut.is_index == mask.is_index
    assert sum(whole_has_invalid(path) for path in folder.glob("*.tif")) == 2


def whole_has_invalid(path):
    return read_image(path).valid is not None


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
@pytest.mark.parametrize("window", [(0, 0, 9, 8), (0, 1, 8, 8), (-1, 0, 4, 4), (0, 0, 0, 8)])
def test_a_window_that_is_not_in_the_image_is_refused(tmp_path, name, window):
    pixels = np.zeros((8, 8, 1), np.uint8)
    Image.fromarray(pixels[..., 0]).save(tmp_path / name)
    for read in (read_image, read_mask):
        with pytest.raises(ReadError, match=r"has 8 x 8 pixels; the window .* reaches beyond them"):
            read(tmp_path / name, window)


def test_the_limit_of_pixels_is_the_windows(tmp_path, monkeypatch):
    write_tiff(tmp_path / "a.tif", np.zeros((40, 64, 1), np.uint8), **TILED)
    Image.new("L", (64, 40)).save(tmp_path / "a.png")
    monkeypatch.setattr(files, "MAX_PIXELS", 600)
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
    monkeypatch.setattr(files, "MAX_PIXELS", 500)
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
from data_prep.imagery.image_file import (read_image, read_size)
from data_prep.imagery.mask_file import (read_mask)
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
    root = programs.ROOT
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    size, sums, growth = json.loads(done.stdout)
    assert size == [20000, 20000]
    assert sums == [0, 0, 0, 0, 9 * 3 * 7 * 5, 0, 0, 0, 0, 0]
    assert growth < 60 * 1024
